"""Truncated power series, and the operations on them that every rule is written in.

Each operation is done by two arithmetics: :class:`~jaxbatch.series.unrolled.Unrolled` writes the recurrences out,
:class:`~jaxbatch.series.looped.Looped` loops over the order.
"""

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
    """The leading coefficients of a power series in t, arrays of one shape; further coefficients are zero.

    Only the arithmetic knows how ``terms`` holds them: ``Unrolled`` has a tuple of arrays with None for a zero,
    ``Looped`` one array [coefficients, …].
    """

    terms: Any
    fused: bool = False
    """Whether a product or recurrence computed it: a compiler that fuses such code with what reads it computes it
    again for every reader, so it is materialized first."""


Value = Any
"""An operand or result of an equation: a :class:`Series`, or an array or number that does not depend on t."""


@dataclass(frozen=True)
class Recurrence:
    """How unknown series follow from known ones, one order at a time.

    At order n the step receives ``sums[p] = Σ_{0<j<n} a_j b_{n−j}`` for each pair (a, b). Here a and b are indices that
    count the unknown series first and then the known ones. The step adds the ends of a sum itself, j = 0 and j = n:
    it receives the coefficients of order 0 of all series (``first``) and those of order n of the known ones
    (``known``), followed by the constants that :meth:`Arithmetic.recur` was given.
    """

    pairs: tuple[tuple[int, int], ...]
    step: Callable[[Any, Sequence[Array], Sequence[Array], Sequence[Array]], Sequence[Array]]
    """``step(n, sums, first, known)``: the coefficients of order n of the unknown series."""


class Arithmetic(ABC):
    """Operations on power series truncated after one order; on their coefficients, never at a value of t."""

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
        """A function that is linear in all ``xs`` together, applied coefficient by coefficient."""

    @abstractmethod
    def add(self, a: Series, b: Series) -> Series:
        """``a + b``."""

    @abstractmethod
    def scale(self, x: Series, factors: Sequence[int | float]) -> Series:
        """The coefficient of order n times ``factors[n]``."""

    @abstractmethod
    def product(self, a: Series, b: Series, multiply: Callable[[Array, Array], Array] | None = None) -> Series:
        """The Cauchy product c_n = Σ_{0≤j≤n} a_j b_{n−j}; ``multiply`` is any bilinear function, by default ×."""

    @abstractmethod
    def recur(
        self, recurrence: Recurrence, first: Sequence[Array], known: Sequence[Series], constants: Sequence[Array] = ()
    ) -> list[Series]:
        """The unknown series of a recurrence.

        Args:
            recurrence: its equations.
            first: the coefficients of order 0 of the unknown series.
            known: the known series.
            constants: arrays that the step receives after the known coefficients, at every order.
        """

    @abstractmethod
    def stack(self, x: Series) -> Num[Array, "order+1 ..."]:
        """All coefficients, orders 0 to ``order``, on a leading axis."""

    @abstractmethod
    def unstack(self, coefficients: Num[Array, "order+1 ..."]) -> Series:
        """The reverse of :meth:`stack`."""

    @abstractmethod
    def dense(self, x: Value) -> Series:
        """``x`` with zeros stored for coefficients that are not held, so that a loop can carry it."""

    @abstractmethod
    def degree(self, x: Series) -> int:
        """The highest order at which a coefficient is held: all above it are zero."""

    @abstractmethod
    def axis(self, axis: int) -> int:
        """The index, in the arrays that hold a series, of an axis of its values."""

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
        """``x + by`` for a number or array that does not depend on t."""
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
        """``x`` itself if it is a series, else ``x`` as a constant one."""
        return x if isinstance(x, Series) else self.constant(jnp.asarray(x))

    def ramp(self, dtype: Any) -> Array:
        """The orders 0, 1, …, ``order`` as floats of ``dtype``, [order + 1]."""
        return jnp.arange(self.order + 1, dtype=dtype)


def is_series(x: Any) -> bool:
    """Whether ``x`` depends on t; also for ``is_leaf`` of JAX's tree functions."""
    return isinstance(x, Series)


def hold_constants(function: Callable[..., Any], operands: Sequence[Value]) -> Callable[..., list[Any]]:
    """``function`` as one of the operands that depend on t alone, the others held at their values.

    The function that is returned takes an array for each series among ``operands`` and gives a list of results, also
    where ``function`` gives a single one.
    """

    def of_series(*values: Any) -> list[Any]:
        remaining = iter(values)
        found = function(*(next(remaining) if is_series(x) else x for x in operands))
        return list(found) if isinstance(found, list | tuple) else [found]

    return of_series
