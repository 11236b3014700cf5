"""The programs that a run may compile, traced and sized; and what ``plan`` prints of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxbatch.compilation.batch_width import width_limit
from jaxbatch.input.shards import Shard
from jaxbatch.job.model import Job
from jaxbatch.kernels.base import Kernel, dimensions
from jaxbatch.kernels.program_set import ProgramSet

_LENGTHS = 4096
"""Lengths for which the padding of a ragged dimension is computed."""

_RUNGS_SHOWN = 6


@dataclass(frozen=True)
class ProgramList:
    """A kernel's programs, and the words and numbers in which a plan describes them."""

    programs: ProgramSet
    width_limit: int
    """The widest batch, in rows, that the largest part can need."""
    described: tuple[Mapping[str, Any], ...]
    """For each bucket of each stage its smallest program: its sizes, its width, and the bytes of a batch."""

    @property
    def batch_rows(self) -> list[int]:
        """The width of every program that is described."""
        return [program["batch_rows"] for program in self.described]

    @property
    def whole_batch(self) -> int:
        """The rows that a chunk should hold a multiple of; a ragged kernel's batches are of many widths."""
        kernel = self.programs.kernel
        first = kernel.buckets if dimensions(kernel.inputs) else 0
        return max(self.batch_rows[first:], default=1)


def trace_programs(job: Job, kernel: Kernel, shards: Sequence[Shard]) -> ProgramList:
    """Trace the smallest program of every bucket, and decide how many rows each computes at once.

    Raises:
        JobError: a function cannot be traced, or returns other outputs than are declared.
    """
    widest = width_limit(max(part.rows for shard in shards for part in shard.parts))
    programs = programs_of(kernel, job, widest)
    return ProgramList(programs, widest, tuple(programs.described()))


def programs_of(kernel: Kernel, job: Job, limit: int) -> ProgramSet:
    """The programs of a bound kernel; JAX is imported only if it has any.

    Args:
        kernel: bound to its input.
        job: its job.
        limit: the widest batch that the input can need.
    """
    if not kernel.buckets:
        return ProgramSet(kernel, job.compute.precision)
    from jaxbatch.compilation.programs import Programs

    return Programs(kernel, job.compute.precision, batch_rows=job.compute.batch_rows, limit=limit)


def compilations(kernel: Kernel) -> str:
    """How many programs a run compiles at most, in words."""
    if not kernel.buckets:
        return "none: NumPy computes"
    ragged = dimensions(kernel.inputs)
    if not ragged:
        return f"at most {kernel.buckets}"
    each = f" for each of {kernel.buckets} buckets" if kernel.buckets > 1 else ""
    most = kernel.second_stage.buckets if kernel.second_stage else 0
    then = f", and {'one' if most == 1 else f'at most {most}'} for each size of what they give" if most else ""
    return f"one{each} for each rung of {' and '.join(ragged)} that the data reach{then}"


def rungs(kernel: Kernel) -> dict[str, dict[str, Any]]:
    """For each named dimension its first rungs, and by what share padding lengthens a list at most."""
    if not kernel.buckets:
        return {}
    lengths = np.arange(1, _LENGTHS + 1)
    found = {}
    for name in dimensions(kernel.inputs):
        sizes = kernel.size(name, lengths)
        from_first = lengths >= sizes[0]
        longest = float((sizes[from_first] / lengths[from_first]).max()) - 1
        found[name] = {"first": np.unique(sizes)[:_RUNGS_SHOWN].tolist(), "padding_at_most": round(longest, 3)}
    return found
