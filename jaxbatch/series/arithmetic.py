"""What a truncated power series is, and the operations that every rule is written in."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Num


@partial(jax.tree_util.register_dataclass, data_fields=["terms"], meta_fields=["fused"])
@dataclass(frozen=True, eq=False)
class Series:
    """The leading coefficients of a power series in t; those that are not there are zero.

    How ``terms`` holds them is known to the arithmetic alone: :class:`Unrolled` has a tuple of arrays with None for
    a zero, :class:`Looped` one array with the coefficients on its first axis.
    """

    terms: Any
    fused: bool = False
    """Whether a product or recurrence computed it, so that a compiler that fuses it again computes it again."""


Value = Any
"""What an equation of a program takes and gives: a :class:`Series`, or an array or number that does not depend on t."""


@dataclass(frozen=True)
class Recurrence:
    """How unknown series follow from known ones, one order at a time.

    At order n the step is given ``sums[p] = Σ_{0<j<n} a_j b_{n−j}`` for each pair (a, b), where a and b count the
    unknown series first and then the known ones. The ends of the sum are the step's own business: it has the
    coefficients of order 0 of all (``first``) and those of order n of the known ones (``known``).
    """

    pairs: tuple[tuple[int, int], ...]
    step: Callable[[Any, Sequence[Array], Sequence[Array], Sequence[Array]], Sequence[Array]]
    """``step(n, sums, first, known)``: the coefficients of order n of the unknown series."""


class Arithmetic(ABC):
    """Truncated power series to one order. Operations are those of coefficients: nothing is evaluated at a t."""

    def __init__(self, order: int) -> None:
        self.order = order

    @abstractmethod
    def variable(self, value: ArrayLike, direction: ArrayLike) -> Series:
        """``value + t·direction``."""

    @abstractmethod
    def constant(self, value: ArrayLike) -> Series:
        """``value`` as a series."""

    @abstractmethod
    def value(self, x: Value) -> Any:
        """The coefficient of order 0."""

    @abstractmethod
    def with_value(self, x: Series, value: ArrayLike) -> Series:
        """``x`` with another coefficient of order 0."""

    @abstractmethod
    def map(self, function: Callable[..., Any], *xs: Series) -> Series:
        """A linear function of all ``xs`` together, coefficient by coefficient."""

    @abstractmethod
    def add(self, a: Series, b: Series) -> Series:
        """``a + b``."""

    @abstractmethod
    def scale(self, x: Series, factors: Sequence[int | float]) -> Series:
        """The coefficient of order n times ``factors[n]``."""

    @abstractmethod
    def product(self, a: Series, b: Series, multiply: Callable[[Array, Array], Array] | None = None) -> Series:
        """The Cauchy product, of numbers or of any bilinear ``multiply``."""

    @abstractmethod
    def recur(
        self, recurrence: Recurrence, first: Sequence[Array], known: Sequence[Series], constants: Sequence[Array] = ()
    ) -> list[Series]:
        """The unknown series of a recurrence whose coefficients of order 0 are ``first``.

        ``constants`` are handed to the step behind the known coefficients.
        """

    @abstractmethod
    def stack(self, x: Series) -> Num[Array, "order+1 ..."]:
        """All coefficients on a leading axis."""

    @abstractmethod
    def unstack(self, coefficients: Num[Array, "order+1 ..."]) -> Series:
        """The reverse of :meth:`stack`."""

    @abstractmethod
    def dense(self, x: Value) -> Series:
        """``x`` with every coefficient there, so that a loop can carry it."""

    @abstractmethod
    def degree(self, x: Series) -> int:
        """The order from which on all coefficients are known to be zero, less one."""

    @abstractmethod
    def axis(self, axis: int) -> int:
        """Where an axis of the values is in the arrays that hold a series."""

    def neg(self, x: Series) -> Series:
        """``−x``."""
        return self.map(jnp.negative, x)

    def sub(self, a: Series, b: Series) -> Series:
        """``a − b``."""
        return self.add(a, self.neg(b))

    def times(self, x: Series, factor: Any) -> Series:
        """``factor · x`` for a factor that does not depend on t."""
        return self.map(lambda term: term * factor, x)

    def shift(self, x: Series, by: Any) -> Series:
        """``x + by`` for a number that does not depend on t."""
        return self.with_value(x, self.value(x) + by)

    def theta(self, x: Series) -> Series:
        """``t · dx/dt``: the coefficient of order n times n."""
        return self.scale(x, range(self.order + 1))

    def integral(self, theta: Series, value: Array) -> Series:
        """The series whose :meth:`theta` is given and whose coefficient of order 0 is ``value``."""
        return self.with_value(self.scale(theta, [0.0, *(1 / n for n in range(1, self.order + 1))]), value)

    def tail(self, x: Series) -> Series:
        """``x`` with 0 for the coefficient of order 0."""
        return self.with_value(x, jnp.zeros_like(self.value(x)))

    def series(self, x: Value) -> Series:
        """``x`` as a series, if it is none yet."""
        return x if isinstance(x, Series) else self.constant(jnp.asarray(x))

    def ramp(self, dtype: Any) -> Array:
        """The numbers 0 … order, in a floating type."""
        return jnp.arange(self.order + 1, dtype=dtype)


def is_series(x: Any) -> bool:
    """Whether ``x`` depends on t; to be used as ``is_leaf`` too."""
    return isinstance(x, Series)
