"""Statistics of groups put together: those of one group merged, those of others at their places."""

import numpy as np

from jaxbatch.kernels.base import Kernel

Arrays = dict[str, np.ndarray]
"""Statistics by name, of shape [rows, …]."""


def merge_runs(kernel: Kernel, statistics: Arrays, owners: np.ndarray) -> Arrays:
    """Merge the statistics of each run of equal ``owners``: neighbours in pairs, then the pairs, and so on.

    So the order of merging follows from the order of the statistics alone. The arrays are overwritten.
    """
    rows = np.arange(len(owners))
    while len(owners) and (owners[1:] == owners[:-1]).any():
        first = np.r_[True, owners[1:] != owners[:-1]]
        starts = np.maximum.accumulate(np.where(first, np.arange(len(owners)), 0))
        even = (np.arange(len(owners)) - starts) % 2 == 0
        left = np.flatnonzero(even[:-1] & ~even[1:])
        merged = kernel.merge(
            {name: values[rows[left]] for name, values in statistics.items()},
            {name: values[rows[left + 1]] for name, values in statistics.items()},
        )
        for name, values in merged.items():
            statistics[name][rows[left]] = values
        rows, owners = rows[even], owners[even]
    return {name: values[rows] for name, values in statistics.items()}


def placed(kernel: Kernel, statistics: Arrays, places: np.ndarray, count: int) -> Arrays:
    """Statistics at their places among ``count``; at the others, the statistic of no observations."""
    found = {name: np.repeat(value[None], count, axis=0) for name, value in kernel.empty_state().items()}
    for name, values in statistics.items():
        found[name][places] = values
    return found
