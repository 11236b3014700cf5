"""The identity of a run: everything that can change a bit of its output, and nothing else."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxbatch import __version__, user_code
from jaxbatch.compilation import instructions, linear_algebra
from jaxbatch.compilation.digest import calls_lapack
from jaxbatch.compilation.programs import Programs
from jaxbatch.compilation.trace import smallest_programs, trace, x64_context
from jaxbatch.errors import JobError
from jaxbatch.kernels import functions
from jaxbatch.kernels.base import Kernel, dimensions

_SETTINGS = (
    "jax_disable_most_optimizations",
    "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort",
    "jax_memory_fitting_level",
    "jax_optimization_level",
)
"""JAX's settings that are options of the compiler; others show in what is traced."""


def fingerprint(identity: Mapping[str, Any]) -> str:
    """The SHA-256 of an identity, in hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def code_identity(kernel: Kernel, programs: Programs, folder: Path) -> dict[str, Any]:
    """What the code of this process would compute: the part of an identity that every worker checks for itself.

    Args:
        kernel: as the job has it, before it was bound to an input.
        programs: those of the bound kernel.
        folder: the job's.

    Raises:
        JobError: the function cannot be traced, or calls back into Python.
    """
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "pyarrow")}
    return {
        "program": list(programs.digests()),
        "untraced": user_code.code_identity(_untraced(kernel, programs, folder)),
        "versions": {"jaxbatch": __version__, **versions},
        **_of_the_machine(programs),
    }


def _untraced(kernel: Kernel, programs: Programs, folder: Path) -> Iterator[str]:
    """The modules of which traces do not tell all: those of a user's own kernel, which chooses buckets and sizes on the
    host; and a function's, if some of its program is known by its name alone."""
    stages = (kernel, programs.kernel, *([programs.second_stage.kernel] if programs.second_stage else []))
    classes = {each for stage in stages for each in type(stage).__mro__ if issubclass(each, Kernel)}
    yield from (each.__module__ for each in classes if not is_ours(each))
    if any(traced.digest.foreign for traced in programs.smallest_traces()):
        with x64_context(programs.dtype, kernel):  # in which they were imported
            yield from [functions.module_of(reference, folder) for reference in kernel.references]


def is_ours(kernel: type[Kernel]) -> bool:
    """Whether a kernel's class is one of this package, for which its version stands."""
    return kernel.__module__.partition(".")[0] == __name__.partition(".")[0]


def _of_the_machine(programs: Programs) -> dict[str, Any]:
    """What decides bits and is no code: constants, unless the user or another library has chosen otherwise before."""
    settings = instructions.of_the_run()
    return {
        "cpus": settings.cpus,
        "xla_flags": settings.flags,
        **({"tpu_flags": settings.tpu_flags} if settings.tpu_flags else {}),
        "jax_settings": {name: str(jax.config.values[name]) for name in _SETTINGS},
        "instructions": instructions.of_this_processor(),
        **({"linear_algebra": linear_algebra.of_the_run()} if _may_call_lapack(programs) else {}),
    }


def _may_call_lapack(programs: Programs) -> bool:
    """Whether a program calls it, or one may that was not traced: of other sizes, or by a rule nobody looks into."""
    if dimensions(programs.kernel.inputs):
        return True
    return any(each.digest.foreign or calls_lapack(each.jaxpr) for each in programs.smallest_traces())


def check_pure(programs: Programs) -> None:
    """Trace programs once more: one for each of a user's functions, or every one of a kernel of their own. What a
    worker traces is compared with the plan, so only planning need ask.

    Raises:
        JobError: it is another program then.
    """
    kernel = programs.kernel
    by_origin = {kernel.origin(program.bucket): program for program in reversed(smallest_programs(kernel))}
    for program in by_origin.values():
        with x64_context(programs.dtype, kernel):
            again = trace(kernel, program, programs.dtype)
        if again.digest != programs.traced(program).digest:
            raise JobError(
                f"{kernel.describe_bucket(program.bucket)} traces to a different program each time.",
                "It uses the time, random numbers or a changing global: make it a pure function of its arguments.",
            )
    if programs.second_stage and not is_ours(type(programs.second_stage.kernel)):
        check_pure(programs.second_stage)
