"""The job's kernel, and the same bound to what the footers say of the input."""

from contextlib import nullcontext
from dataclasses import dataclass

from jaxbatch.errors import InputError, nearest
from jaxbatch.input.data_probe import FileProbe
from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.types import column_type
from jaxbatch.job.model import Job
from jaxbatch.kernels import registry
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.precision import x64_context


@dataclass(frozen=True)
class BoundKernel:
    """The kernel as the job has it, the context that its ``bind`` was given, and the kernel that ``bind`` returned."""

    unbound: Kernel
    context: BindContext
    kernel: Kernel


def build(job: Job) -> Kernel:
    """The job's kernel, before it is bound to an input.

    Raises:
        JobError: the kernel is unknown, or a parameter does not fit.
    """
    with nullcontext() if registry.is_without_jax(job) else x64_context(job.compute.precision):
        return registry.build(job)


def bind(job: Job, opened: InputTable, steps: RowSteps, platform: str) -> BoundKernel:
    """Build the job's kernel and bind it to the input with what is joined to it, for devices of a platform.

    Raises:
        JobError: the kernel or its function cannot be loaded, or the job contradicts itself.
        InputError: the input lacks a column, or has it in another type than the kernel needs.
    """
    unbound = build(job)
    with x64_context(job.compute.precision, unbound):
        context = _bind_context(job, opened, steps, platform)
        return BoundKernel(unbound, context, unbound.bind(context))


def _bind_context(job: Job, opened: InputTable, steps: RowSteps, platform: str) -> BindContext:
    schema = steps.with_added(opened.schema)
    stored_names = {name: name for name in schema.names} | dict(job.input.columns)
    for own, stored in job.input.columns.items():
        if stored not in schema.names:
            raise InputError(
                f"[input] columns: the input has no column '{stored}' for '{own}'.",
                nearest(stored, schema.names),
            )
        if own in job.input.constants:
            raise job.error(("input", "constants", own), f"'{own}' also has a column.", "Remove one of the two.")
    for own in job.input.defaults:
        other = "a column" if own in job.input.columns else "a constant" if own in job.input.constants else None
        if other:
            raise job.error(("input", "defaults"), f"'{own}' also has {other}.", "Remove one of the two.")
    return BindContext(
        types={own: column_type(schema.field(stored).type) for own, stored in stored_names.items()},
        constants=dict(job.input.constants),
        precision=job.compute.precision,
        folder=job.folder,
        platform=platform,
        probe=FileProbe(opened.files, stored_names, steps.lookups),
        stored=dict(job.input.columns),
        defaults=tuple(job.input.defaults),
        seed=job.compute.seed,
    )
