"""What this process's code would compute, as JSON values that other processes can compare with their own."""

import hashlib
import importlib
import importlib.metadata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jaxbatch import __version__, user_code
from jaxbatch.compilation import instructions, linear_algebra
from jaxbatch.kernels import functions
from jaxbatch.kernels.base import Kernel, dimensions
from jaxbatch.kernels.host import HostKernel
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.program_set import ProgramSet

_SETTINGS = (
    "jax_disable_most_optimizations",
    "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort",
    "jax_memory_fitting_level",
    "jax_optimization_level",
)
"""JAX's settings that are options of the compiler; all others show in the trace."""


def code_identity(kernel: Kernel, programs: ProgramSet, folder: Path) -> dict[str, Any]:
    """The part of a run's identity that follows from the code of this process; every worker checks it for itself.

    Args:
        kernel: the job's kernel before it was bound to an input.
        programs: the programs of the bound kernel.
        folder: the job's folder, in which functions given as "file.py:name" are found.

    Raises:
        JobError: the function cannot be traced, or calls back into Python.
    """
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "pyarrow")}
    return {
        "program": list(programs.digests()),
        **_host_identity(programs),
        "untraced": user_code.code_identity(_untraced_modules(kernel, programs, folder)),
        "versions": {"jaxbatch": __version__, **versions},
        **(_machine_identity(programs) if programs.kernel.buckets else {}),
    }


def _untraced_modules(kernel: Kernel, programs: ProgramSet, folder: Path) -> Iterator[str]:
    """The modules whose source counts because traces do not show everything that they decide.

    These are the modules of a user's own kernel, which chooses buckets and sizes on the host; and those of its
    functions, if part of a program is known by its name alone.
    """
    bound = programs.kernel
    stages = (kernel, bound, *([bound.second_stage] if bound.second_stage else []))
    classes = {each for stage in stages for each in type(stage).__mro__ if issubclass(each, Kernel)}
    yield from (each.__module__ for each in classes if not is_builtin(each))
    if any(traced.digest.foreign for traced in programs.smallest_traces()):
        with x64_context(programs.dtype, kernel):  # the context in which they were imported
            yield from [functions.module_of(reference, folder) for reference in kernel.references]


def _host_identity(programs: ProgramSet) -> dict[str, str]:
    """The digest of the code of a kernel that NumPy computes; a trace is all that there is to say of any other."""
    kernel = programs.kernel
    return {"host": _digest_of_sources(kernel.sources)} if isinstance(kernel, HostKernel) else {}


@cache
def _digest_of_sources(packages: tuple[str, ...]) -> str:
    """The digest of the syntax trees of some packages' modules: comments, layout and docstrings do not count."""
    found = hashlib.sha256()
    for package in packages:
        folder = Path(*importlib.import_module(package).__path__)
        for path in sorted(folder.rglob("*.py")):
            tree = user_code.without_layout(path.read_bytes())
            found.update(f"{package}\0{path.relative_to(folder).as_posix()}\0{tree}\0".encode())
    return found.hexdigest()


def is_builtin(kernel: type[Kernel]) -> bool:
    """Whether a kernel's class belongs to this package, whose version then stands for its source."""
    return kernel.__module__.partition(".")[0] == __name__.partition(".")[0]


def _machine_identity(programs: ProgramSet) -> dict[str, Any]:
    """What decides bits beside the code: processor, flags and settings.

    All are the same in every run, unless the user or another library has changed them in this process.
    """
    import jax

    settings = instructions.run_env()
    return {
        "cpus": settings.cpus,
        "xla_flags": settings.flags,
        **({"tpu_flags": settings.tpu_flags} if settings.tpu_flags else {}),
        "jax_settings": {name: str(jax.config.values[name]) for name in _SETTINGS},
        "instructions": instructions.processor_identity(),
        **({"linear_algebra": linear_algebra.run_lapack()} if _may_call_lapack(programs) else {}),
    }


def _may_call_lapack(programs: ProgramSet) -> bool:
    """Whether any program may call LAPACK: one that was traced, one of other sizes, or one inside an opaque rule."""
    from jaxbatch.compilation.digest import calls_lapack

    if dimensions(programs.kernel.inputs):
        return True
    return any(each.digest.foreign or calls_lapack(each.jaxpr) for each in programs.smallest_traces())
