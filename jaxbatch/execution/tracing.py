"""A plan's programs in a process that did not make the plan: traced again, and checked against it."""

import socket

from jaxbatch.compilation import invariants
from jaxbatch.compilation.code_identity import code_identity
from jaxbatch.compilation.devices import KEYS, Device
from jaxbatch.errors import ClusterError, JobError
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.output.differences import differences
from jaxbatch.planning.binding import build
from jaxbatch.planning.plan import WorkerPlan
from jaxbatch.planning.program_list import programs_of


def retrace_and_check(plan: WorkerPlan, device: Device) -> ProgramSet:
    """Build the job's kernel in this process and trace its programs.

    Raises:
        ClusterError: code or device are not those of the plan.
        JobError: this process's compiler is set so that results could be wrong.
    """
    job, node = plan.job, socket.gethostname()
    unbound = build(job)
    with x64_context(job.compute.precision, unbound):
        kernel = unbound.bind(plan.source)
    made = programs_of(kernel, job, plan.width_limit)
    if kernel.buckets:
        try:
            invariants.check()
        except JobError as error:
            raise JobError(f"A worker on {node}: {error.what}", error.remedy) from error
    here = {"code": code_identity(unbound, made, job.folder), **device.identity()}
    planned = {name: plan.identity[name] for name in ("code", *KEYS) if name in plan.identity}
    if here != planned:
        raise ClusterError(
            f"A worker on {node} would compute something else: {'; '.join(differences(planned, here))}.",
            "Give every node the same kind of device, the same files and the package versions of constraints.txt.",
        )
    return made
