"""What a kernel is: named columns in, named columns out, and a pure function of one row between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict

from jaxbatch.columns import Column
from jaxbatch.errors import JobError
from jaxbatch.kernels import random_keys
from jaxbatch.kernels.bind_context import BindContext

Row = Callable[..., Mapping[str, Any]]
"""One row's columns (and the lengths of its named dimensions) as keywords → its outputs by name."""


@dataclass(frozen=True)
class Grouping:
    """How a kernel whose rows are datasets is fed from rows that are observations.

    A run groups the rows, computes the kernel for blocks of each group's rows, merges the blocks' results with
    :meth:`Kernel.merge` in the order of the plan, and passes each group's to :attr:`Kernel.second_stage`.
    """

    by: tuple[str, ...]
    """The columns whose values name a group; without any, all rows are one group."""
    columns: tuple[Column, ...]
    """One observation: a number column for each of the kernel's inputs, in their order. The inputs are lists, and each
    list holds one such column's values within a group."""
    drop_nulls: bool
    """Whether an observation with a null is left out, instead of failing its group."""


class Kernel:
    """One kernel. A subclass is a frozen dataclass; its fields are its parameters, ``[params]`` in a job.

    The least that a subclass defines is ``inputs``, ``outputs`` and ``row``::

        @dataclass(frozen=True)
        class Payoff(Kernel):
            strike: float = 100.0
            inputs = (Column("spot"),)
            outputs = (Column("payoff"),)

            def row(self, spot):
                return {"payoff": jnp.maximum(spot - self.strike, 0.0)}

    ``row`` sees one row as JAX arrays, and returns a dict of its outputs. The dict may also have ``"status"``, a
    :class:`~jaxbatch.Status`; a NaN or infinity in an output makes it ``nonfinite`` without the kernel's doing. An
    output given as :class:`~jaxbatch.columns.Maybe` is null where it is not present.

    Raises at the definition of a subclass:
        JobError: it has a hook under its former name.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    inputs: tuple[Column, ...] = ()
    outputs: tuple[Column, ...] = ()
    buckets: int = 1
    """How many buckets :meth:`bucket` distinguishes."""
    needs_x64: ClassVar[bool] = False
    """Whether 64-bit types are available to the row function in float32 runs too."""
    uses_jax: ClassVar[bool] = True
    """Whether it is built of JAX's functions: False if it is bound without them."""
    drop_nulls: str | None = None
    """A named dimension whose entries with a null are left out, instead of failing the row."""
    second_stage: "Kernel | None" = None
    """A kernel that takes this one's outputs, row by row, and gives the results. It is compiled once for its own
    buckets and rungs, not once for each of this one's."""

    grouping: Grouping | None = None
    """Set where rows are observations and not datasets; the kernel then has a ``second_stage``, and one bucket."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _refuse_old_names(cls)

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns that are read: the inputs, or with a ``grouping`` those of one observation."""
        return self.grouping.columns if self.grouping else self.inputs

    @property
    def results(self) -> tuple[Column, ...]:
        """The columns that are written: the outputs of the last kernel."""
        return (self.second_stage or self).outputs

    @property
    def references(self) -> tuple[str, ...]:
        """The functions that the parameters name, as ``"package.module:name"`` or ``"file.py:name"``."""
        return ()

    def bind(self, context: BindContext) -> "Kernel":
        """The kernel for one input, with its columns known. Called before any work: for the plan, and in every worker.

        Raises:
            JobError, InputError: the parameters or the input do not fit.
        """
        context.require_columns(*(column.name for column in self.inputs if column.dtype != random_keys.DTYPE))
        for column in self.inputs:
            context.require_input(column)
        return self

    def bucket(self, columns: Mapping[str, np.ndarray]) -> np.ndarray | int:
        """The bucket of each row: rows of one bucket share a program.

        Args:
            columns: the inputs that are no ragged lists, each of shape [rows, …]; strings are indices into
                ``choices``.

        Returns:
            Integers from 0 to ``buckets`` − 1, of shape [rows], or one for all rows.
        """
        del columns
        return 0

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """The padded size for each length of a named dimension: by default the next power of two, at least 8."""
        del dimension
        return powers_of_two(lengths)

    def needs_recompute(self, bucket: int, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Which of a batch's rows the next bucket must compute again, judged by what this bucket gave for them.

        What only few rows need is thereby compiled only where there are such rows.

        Args:
            bucket: the bucket that computed the batch.
            outputs: its outputs, each of shape [rows, …].

        Returns:
            Truth values of shape [rows]; None where no row ever needs it.
        """
        del bucket, outputs
        return None

    def program(self, bucket: int) -> Row:
        """The row function of one bucket."""
        del bucket
        return self.row

    def origin(self, bucket: int) -> int:
        """A number that is the same for all buckets that come from one function of the user's.

        A plan traces one program of each such function twice, to see that it is pure.
        """
        return bucket

    def describe_bucket(self, bucket: int) -> str:
        """What rows are in this bucket, in words, for ``plan`` and for messages."""
        return f"bucket {bucket}" if self.buckets > 1 else "all rows"

    def merge(self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The outputs for the union of two sets of observations, from the outputs for each set; many rows at once.

        Associative up to rounding. A kernel with a ``grouping`` needs it, and :meth:`empty_state`.
        """
        del left, right
        raise JobError(f"The kernel {type(self).__name__} cannot merge.", "Define merge().")

    def empty_state(self) -> Mapping[str, np.ndarray]:
        """The outputs for no observations at all: merging them with others gives the others."""
        raise JobError(f"The kernel {type(self).__name__} cannot merge.", "Define empty_state().")

    def row(self, *args: Any, **columns: Any) -> Mapping[str, Any]:
        """One row's outputs, from its columns as keywords. Every kernel defines either this or :meth:`program`."""
        del args, columns
        raise JobError(f"The kernel {type(self).__name__} defines neither row() nor program().", "Define one of them.")


_OLD_NAMES = {
    "then": "second_stage",
    "nothing": "empty_state",
    "unfinished": "needs_recompute",
    "wide": "needs_x64",
}
"""Former names of hooks."""


def _refuse_old_names(kernel: type[Kernel]) -> None:
    """A hook that nobody calls any more would be left out without a word, and the results be wrong."""
    names = {*dir(kernel), *(name for each in kernel.__mro__ for name in vars(each).get("__annotations__", ()))}
    for old in sorted(_OLD_NAMES.keys() & names):
        raise JobError(
            f"The kernel {kernel.__name__} has '{old}', which is called '{_OLD_NAMES[old]}' now.",
            "Rename it; a parameter of your own needs another name.",
        )


def powers_of_two(lengths: np.ndarray) -> np.ndarray:
    """The next power of two for each length, at least 8: the default rungs of a named dimension."""
    return np.maximum(8, 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))


def dimensions(columns: Sequence[Column]) -> tuple[str, ...]:
    """The named dimensions of some columns, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for column in columns for name in column.dimensions))


def parameters(kernel: type[Kernel]) -> tuple[str, ...]:
    """The names of a kernel's parameters."""
    if not is_dataclass(kernel):
        return ()
    return tuple(kernel.__dataclass_fields__)
