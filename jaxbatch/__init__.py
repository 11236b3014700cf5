"""jaxbatch: distributed batch jobs for JAX. Parquet tasks in, vmapped kernels on workers, Parquet results out.

The public names are loaded when first used, so that ``import jaxbatch`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "BindContext",
    "Column",
    "Grouping",
    "Job",
    "Kernel",
    "Maybe",
    "Progress",
    "Status",
    "StorageOptions",
    "Summary",
    "plan",
    "run",
    "verify",
]

if TYPE_CHECKING:
    from jaxbatch.api import run
    from jaxbatch.columns import Column, Maybe, Status
    from jaxbatch.execution.progress import Progress
    from jaxbatch.execution.summary import Summary
    from jaxbatch.job.model import Job
    from jaxbatch.kernels.base import Grouping, Kernel
    from jaxbatch.kernels.bind_context import BindContext
    from jaxbatch.output.verification import verify
    from jaxbatch.planning.planner import plan
    from jaxbatch.storage import StorageOptions

_HOME = {
    "BindContext": "kernels.bind_context",
    "Column": "columns",
    "Maybe": "columns",
    "Progress": "execution.progress",
    "Status": "columns",
    "StorageOptions": "storage",
    "Summary": "execution.summary",
    "run": "api",
    "Grouping": "kernels.base",
    "Job": "job.model",
    "Kernel": "kernels.base",
    "verify": "output.verification",
    "plan": "planning.planner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'jaxbatch' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jaxbatch.{_HOME[name]}"), name)
