"""The built-in kernels by name, and the class that a job's ``kernel`` names."""

import dataclasses
import importlib
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from jaxbatch.errors import JobError, nearest
from jaxbatch.job.model import Job
from jaxbatch.kernels import functions
from jaxbatch.kernels.base import Kernel, parameters

_BUILTIN = {
    "apply": "apply:Apply",
    "derivatives": "derivatives:Derivatives",
    "regression": "regression.kernel:Regression",
    "taylor": "taylor:Taylor",
}
"""Name in a job → "module:class" in ``kernels/builtin/``, imported at first use, since each imports JAX."""

_WITHOUT_JAX = {"regression"}
"""Those that need no JAX unless an accelerator computes."""


def is_without_jax(job: Job) -> bool:
    """Whether the job's kernel can be built and bound without JAX, as it loads nothing of the user's."""
    return job.kernel in _WITHOUT_JAX


def names() -> list[str]:
    """The built-in kernels' names, sorted."""
    return sorted(_BUILTIN)


def find(job: Job) -> type[Kernel]:
    """The class that the job's ``kernel`` names.

    Raises:
        JobError: there is no such class, or it is not a kernel.
    """
    reference = job.kernel
    if ":" not in reference:
        return builtin(reference, job)
    found = functions.resolve(reference, job.folder)
    if not (isinstance(found, type) and issubclass(found, Kernel)):
        raise job.error(
            ("kernel",), f"'{reference}' is not a subclass of jaxbatch.Kernel.", "Make it a subclass of Kernel."
        )
    return found


def builtin(name: str, job: Job | None = None) -> type[Kernel]:
    """The built-in kernel of this name; the error names the line of ``job``, if it is given.

    Raises:
        JobError: there is none.
    """
    if name not in names():
        what = f"there is no kernel '{name}'."
        hint = f'{nearest(name, names())} A kernel of your own is "file.py:Class".'
        raise job.error(("kernel",), what, hint) if job else JobError(what[0].upper() + what[1:], hint)
    module, _, kernel = _BUILTIN[name].partition(":")
    return getattr(importlib.import_module(f"jaxbatch.kernels.builtin.{module}"), kernel)


def build(job: Job) -> Kernel:
    """The job's kernel with its parameters, before it is bound to an input.

    Raises:
        JobError: the kernel is unknown, or a parameter does not fit.
    """
    kernel = find(job)
    if not dataclasses.is_dataclass(kernel):
        if job.params:
            raise job.error(("params",), f"{kernel.__name__} takes no parameters.", "Make it a frozen dataclass.")
        return kernel()
    adapter: TypeAdapter[Any] = TypeAdapter(kernel)
    try:
        return adapter.validate_json(pydantic_core.to_json(job.params))
    except ValidationError as error:
        raise job.invalid_params(error, parameters(kernel)) from None
