"""The kernels that come with jaxbatch, one module each, and how a job's ``kernel`` is found."""

import dataclasses
import importlib
import pkgutil
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from jaxbatch import functions
from jaxbatch.errors import JobError, nearest
from jaxbatch.job import Job
from jaxbatch.kernel import Kernel, parameters


def names() -> list[str]:
    """The built-in kernels' names: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(job: Job) -> type[Kernel]:
    """The class that the job's ``kernel`` names.

    Raises:
        JobError: there is none.
    """
    reference = job.kernel
    if ":" not in reference:
        return builtin(reference, job)
    found = functions.resolve(reference, job.folder)
    if not (isinstance(found, type) and issubclass(found, Kernel)):
        raise job.error(("kernel",), f"'{reference}' is not a subclass of jaxbatch.Kernel.", "Derive it from Kernel.")
    return found


def builtin(name: str, job: Job | None = None) -> type[Kernel]:
    """The built-in kernel of this name."""
    if name not in names():
        what = f"there is no kernel '{name}'."
        hint = f'{nearest(name, names())} A kernel of your own is "file.py:Class".'
        raise job.error(("kernel",), what, hint) if job else JobError(what[0].upper() + what[1:], hint)
    module = importlib.import_module(f"{__name__}.{name}")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__name__.lower() == name and issubclass(value, Kernel)
    )


def build(job: Job) -> Kernel:
    """The job's kernel with its parameters, not bound to an input yet.

    Raises:
        JobError: the kernel is unknown or a parameter does not fit.
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
