"""What a kernel is: named columns in, named columns out, and a pure function of one row between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict

from jaxbatch.columns import Column
from jaxbatch.errors import JobError
from jaxbatch.kernels.bind_context import BindContext

Row = Callable[..., Mapping[str, Any]]
"""One row's columns (and the lengths of its named dimensions) as keywords → its outputs by name."""


@dataclass(frozen=True)
class Grouping:
    """How a kernel whose rows are datasets is fed from rows that are observations.

    The engine groups the rows, computes the kernel for blocks of each group's, merges the blocks' results with
    :meth:`Kernel.merge` in the order of the plan, and gives what comes of it to :attr:`Kernel.then`.
    """

    by: tuple[str, ...]
    """The columns whose values name a group; without any, all rows are one."""
    columns: tuple[Column, ...]
    """One observation: a number for each of the kernel's inputs, in their order, which are lists of such numbers."""
    drop_nulls: bool
    """Whether an observation with a null is left out, instead of failing its group."""


class Kernel:
    """One kernel. A subclass is a frozen dataclass whose fields are its parameters, ``[params]`` in a job.

    The least one gives is ``inputs``, ``outputs`` and ``row``::

        @dataclass(frozen=True)
        class Payoff(Kernel):
            strike: float = 100.0
            inputs = (Column("spot"),)
            outputs = (Column("payoff"),)

            def row(self, spot):
                return {"payoff": jnp.maximum(spot - self.strike, 0.0)}

    ``row`` sees one row as JAX arrays, and returns a dict of its outputs. It may add ``"status"``, a
    :class:`~jaxbatch.Status`; finiteness is tested for it. An output given as
    :class:`~jaxbatch.columns.Maybe` is null where it is not present.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()
    buckets: int = 1
    """How many buckets :meth:`bucket` tells apart."""
    needs_x64: ClassVar[bool] = False
    """Whether 64-bit types are available to the row function in float32 runs too."""
    drop_nulls: str | None = None
    """A named dimension whose entries with a null are left out, instead of failing the row."""
    second_stage: "Kernel | None" = None
    """A kernel that goes on with this one's outputs, row by row; the results are its outputs. Its programs do not
    multiply with this one's buckets and rungs."""

    grouping: Grouping | None = None
    """Where rows are observations and not datasets; the kernel has ``then``, and no buckets."""

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that are read: the inputs, or those of one observation."""
        return self.grouping.columns if self.grouping else self.inputs

    @property
    def results(self) -> tuple[Column, ...]:
        """The columns that are written: the outputs of the last kernel."""
        return (self.second_stage or self).outputs

    @property
    def references(self) -> tuple[str, ...]:
        """The functions that the parameters name, as ``"package.module:name"`` or ``"file.py:name"``."""
        return ()

    def bind(self, source: BindContext) -> "Kernel":
        """The kernel made definite for one input: its columns known. Called once, before any work.

        Raises:
            JobError, InputError: the parameters or the input do not fit.
        """
        source.require_columns(*(column.name for column in self.inputs))
        for column in self.inputs:
            source.require_input(column)
        return self

    def bucket(self, columns: Mapping[str, np.ndarray]) -> np.ndarray | int:
        """A small integer per row: rows of one bucket share a program. Only number columns are given."""
        del columns
        return 0

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """The padded size for each length of a named dimension: by default the next power of two, at least 8."""
        del dimension
        return np.maximum(8, 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))

    def needs_recompute(self, bucket: int, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """[rows]: which of a batch's rows the next bucket must compute anew, seen from what this one gave for them.

        So what few rows need is compiled where there are such rows only. None where no row ever does.
        """
        del bucket, outputs
        return None

    def program(self, bucket: int) -> Row:
        """The row function of one bucket."""
        del bucket
        return self.row

    def origin(self, bucket: int) -> int:
        """A number that buckets share whose programs come of one function of the user's: to see that it is pure, a plan
        traces one of them twice."""
        return bucket

    def describe_bucket(self, bucket: int) -> str:
        """What sets this bucket apart, for ``plan`` to print."""
        return f"bucket {bucket}" if self.buckets > 1 else "all rows"

    def merge(self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The outputs for the union of two sets of observations, from those for each; many rows at once.

        Associative to rounding. Needed where there is a ``grouping``, as is :meth:`nothing`.
        """
        del left, right
        raise JobError(f"The kernel {type(self).__name__} cannot merge.", "Define merge().")

    def empty_state(self) -> Mapping[str, np.ndarray]:
        """The outputs for no observations at all: what merging leaves as it is."""
        raise JobError(f"The kernel {type(self).__name__} cannot merge.", "Define empty_state().")

    def row(self, *args: Any, **columns: Any) -> Mapping[str, Any]:
        """One row's outputs, the columns given as keywords. Every kernel has either this or :meth:`program`."""
        del args, columns
        raise JobError(f"The kernel {type(self).__name__} defines neither row() nor program().", "Define one of them.")


def dimensions(columns: Sequence[Column]) -> tuple[str, ...]:
    """The named dimensions of some columns, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for column in columns for name in column.dimensions))


def parameters(kernel: type[Kernel]) -> tuple[str, ...]:
    """The names of a kernel's parameters."""
    if not is_dataclass(kernel):
        return ()
    return tuple(kernel.__dataclass_fields__)
