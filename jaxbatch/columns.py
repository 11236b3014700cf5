"""The columns of a kernel and the status of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple


class Status(IntEnum):
    """How a row ended. The larger value wins where several apply, so the order is that of precedence."""

    ok = 0
    not_converged = 1
    rank_deficient = 2
    nonfinite = 3
    invalid_input = 4
    null_input = 5

    @property
    def failed(self) -> bool:
        """Whether ``max_failed_rows`` counts the row."""
        return self >= Status.nonfinite

    @property
    def flagged(self) -> bool:
        """Whether the row's results stand, with a warning."""
        return Status.ok < self < Status.nonfinite

    @property
    def has_results(self) -> bool:
        """Whether the row's results are written; otherwise they are null."""
        return self < Status.invalid_input


@dataclass(frozen=True)
class Column:
    """One named column of a kernel.

    ``dtype`` is ``"float"`` (the run's precision), ``"int"``, ``"bool"``, a NumPy name such as ``"float32"``,
    or ``"string"``, which a row function sees as an index into ``choices``.

    ``shape`` is that of one row's value: ``()`` a number, ``(3,)`` a list of three, ``("n",)`` a list whose
    length differs from row to row, ``("n", "p")`` a list of ``n`` lists of ``p``. A named dimension is padded
    with zeros to a rung of a ladder; the row function is given its true length as an argument of that name,
    and returns it under that name where an output has it.
    """

    name: str
    dtype: str = "float"
    shape: tuple[int | str, ...] = ()
    choices: tuple[str, ...] = ()
    tested: bool = True
    """For an output: whether a NaN or infinity in it makes the row ``nonfinite``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """For an output: written into the Parquet column's metadata."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The named dimensions, in order."""
        return tuple(size for size in self.shape if isinstance(size, str))

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers, of whatever width."""
        return self.dtype.removeprefix("u").startswith("int")

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with every named dimension replaced by its size."""
        return tuple(sizes[size] if isinstance(size, str) else size for size in self.shape)


class Maybe(NamedTuple):
    """An output that a row may lack: written as null, and not tested, where ``present`` is false."""

    value: Any
    present: Any


STATUS = "status"
