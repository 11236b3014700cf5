"""A table of rows → results, in the two ways there are: by compiled programs, and by NumPy on the host.

Rows that each give a row are computed by ``compiled_rows.py`` or ``host_rows.py``; rows that are observations of groups
by ``aggregation.py``, with ``compiled_groups.py`` or ``host_groups.py``. No file is read or written here. Begin with
:func:`row_computer`.
"""

from jaxbatch.compilation.programs import Programs
from jaxbatch.execution.compute.aggregation import Aggregation, GroupComputer
from jaxbatch.execution.compute.compiled_groups import CompiledGroups
from jaxbatch.execution.compute.compiled_rows import CompiledRows
from jaxbatch.execution.compute.host_groups import HostGroups
from jaxbatch.execution.compute.host_rows import HostRows
from jaxbatch.kernels.host import HostKernel
from jaxbatch.planning.plan import Plan


def row_computer(plan: Plan, programs: Programs) -> CompiledRows | HostRows:
    """What computes a plan's rows."""
    kernel = programs.kernel
    return HostRows(plan, kernel) if isinstance(kernel, HostKernel) else CompiledRows(plan, kernel, programs)


def aggregation_of(plan: Plan, programs: Programs) -> Aggregation:
    """What computes a plan's groups."""
    kernel, precision = programs.kernel, plan.job.compute.precision
    host = isinstance(kernel, HostKernel)
    groups: GroupComputer = HostGroups(kernel, precision) if host else CompiledGroups(kernel, programs, precision)
    return Aggregation(plan, kernel, groups)
