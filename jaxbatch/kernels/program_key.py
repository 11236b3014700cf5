"""Which programs a kernel has; known without JAX."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxbatch.kernels.base import Kernel, dimensions


@dataclass(frozen=True)
class ProgramKey:
    """Which program of a kernel: for which bucket, and which size of each named dimension."""

    bucket: int
    sizes: tuple[tuple[str, int], ...]
    """The padded size of each named dimension, in the order of :func:`~jaxbatch.kernels.base.dimensions`."""


def smallest_programs(kernel: Kernel) -> Sequence[ProgramKey]:
    """One program per bucket, with the smallest size of each named dimension: those that a plan traces."""
    names = dimensions(kernel.inputs)
    smallest = {name: int(kernel.size(name, np.array([1]))[0]) for name in names}
    return [ProgramKey(bucket, tuple(smallest.items())) for bucket in range(kernel.buckets)]
