"""The columns of a kernel and the status of a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np

EXACT = 2**53
"""The bound up to which a float64 holds every integer, of either sign."""

_NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32"}


class Status(IntEnum):
    """How a row ended. Where several apply, the largest value wins."""

    ok = 0
    not_converged = 1
    rank_deficient = 2
    nonfinite = 3
    invalid_input = 4
    null_input = 5

    @property
    def failed(self) -> bool:
        """Whether the row counts towards ``max_failed_rows``."""
        return self >= Status.nonfinite

    @property
    def flagged(self) -> bool:
        """Whether the row has results, but with a warning."""
        return Status.ok < self < Status.nonfinite

    @property
    def has_results(self) -> bool:
        """Whether the row's results are written; otherwise they are null."""
        return self < Status.invalid_input


@dataclass(frozen=True)
class Column:
    """One named column of a kernel.

    ``dtype`` is ``"float"`` (the run's precision), ``"int"`` (int64, in float32 runs int32), ``"bool"``, a NumPy name
    such as ``"float32"``, or ``"string"``, which a row function sees as an index into ``choices``. An input that does
    not fit its type makes its row ``invalid_input``. An input of dtype ``"key"`` is no column of the files but the
    row's random key, a typed key of JAX's that follows from the job's seed and from what names the row.

    ``shape`` is that of one row's value: ``()`` a number, ``(3,)`` a list of three, ``("n",)`` a list whose
    length differs from row to row, ``("n", "p")`` a list of ``n`` lists of ``p``. A named dimension is padded
    with zeros to a rung of a ladder; the row function is given its true length as an argument of that name,
    and returns it under that name where an output has it.
    """

    name: str
    dtype: str = "float"
    shape: tuple[int | str, ...] = ()
    choices: tuple[str, ...] = ()
    check_finite: bool = True
    """For an output: whether a NaN or infinity in it makes the row ``nonfinite``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """For an output: written into the Parquet column's metadata."""
    exact: bool = False
    """For an input of floats: whether an integer beyond ±2⁵³, where float64 leaves some out, makes the row
    ``invalid_input`` instead of being rounded."""

    def __new__(cls, *arguments: Any, **options: Any) -> "Column":
        """Refuse the former name of ``check_finite`` with the new one."""
        del arguments
        if "tested" in options:
            raise TypeError("Column(tested=…) is called Column(check_finite=…) now")
        return super().__new__(cls)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The named dimensions, in order."""
        return tuple(size for size in self.shape if isinstance(size, str))

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape with every named dimension replaced by its size."""
        return tuple(sizes[size] if isinstance(size, str) else size for size in self.shape)

    def numpy_type(self, precision: str, *, x64: bool) -> np.dtype:
        """The NumPy type in which a row function sees an input.

        Args:
            precision: the run's, ``"float64"`` or ``"float32"``.
            x64: whether 64-bit types exist in a float32 run too.
        """
        name = {"float": precision, "int": "int64", "string": "int64", "key": "uint32"}.get(self.dtype, self.dtype)
        return np.dtype(name if x64 or precision == "float64" else _NARROW.get(name, name))


@dataclass(frozen=True)
class ColumnType:
    """What a kernel may know about the type of a stored column."""

    kind: Literal["float", "int", "bool", "string", "other"]
    """Of its innermost values; decimals are floats."""
    depth: int
    """How deep lists are nested; 0 for no list."""
    length: int | None
    """The length of lists of a fixed size, else None."""
    eps: float
    """The unit roundoff of the stored numbers: 2⁻⁵² for integers and decimals, which are exact up to 2⁵³."""
    name: str
    """The type as Arrow writes it, for messages."""
    whole: bool = False
    """Whether all values are integers; decimals without a fraction are, though their kind is "float"."""

    @property
    def numeric(self) -> bool:
        """Whether the innermost values are numbers."""
        return self.kind in ("float", "int")


class Maybe(NamedTuple):
    """An output that a row may lack: null, and not tested for finiteness, where ``present`` is false."""

    value: Any
    present: Any


STATUS = "status"
"""The name of the status among a kernel's results, and in parts unless the job renames it."""
