"""A table of rows → results, in the two ways there are: by compiled programs, and by NumPy on the host.

Rows that each give a row are computed by ``compiled_rows.py`` or ``host_rows.py``; rows that are observations of groups
by ``aggregation.py``, with ``compiled_groups.py`` or ``host_groups.py``. No file is read or written here. Begin with
:func:`row_computer`.
"""

from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from jaxbatch.execution.compute.aggregation import Aggregation, GroupComputer
from jaxbatch.execution.compute.host_groups import HostGroups
from jaxbatch.execution.compute.host_rows import HostRows
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.host import HostKernel
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.planning.plan import WorkerPlan


class RowComputer(Protocol):
    """Computes rows that each give a row."""

    def rows(self, table: pa.Table, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """The results for a table's rows, in their order: an Arrow array a column, and statuses (int8, one a row)."""
        ...


def row_computer(plan: WorkerPlan, programs: ProgramSet) -> RowComputer:
    """What computes a plan's rows. JAX is imported only if programs do."""
    if isinstance(programs.kernel, HostKernel):
        return HostRows(plan, programs.kernel)
    from jaxbatch.compilation.programs import Programs
    from jaxbatch.execution.compute.compiled_rows import CompiledRows

    assert isinstance(programs, Programs)
    return CompiledRows(plan, programs.kernel, programs)


def aggregation_of(plan: WorkerPlan, programs: ProgramSet) -> Aggregation:
    """What computes a plan's groups, likewise."""
    return Aggregation(plan, programs.kernel, _group_computer(programs, plan.job.compute.precision))


def _group_computer(programs: ProgramSet, precision: str) -> GroupComputer:
    if isinstance(programs.kernel, HostKernel):
        return HostGroups(programs.kernel, precision)
    from jaxbatch.compilation.programs import Programs
    from jaxbatch.execution.compute.compiled_groups import CompiledGroups

    assert isinstance(programs, Programs)
    return CompiledGroups(programs.kernel, programs, precision)
