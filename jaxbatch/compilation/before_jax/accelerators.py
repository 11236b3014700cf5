"""Whether a process can have devices other than CPUs, as far as that is known without JAX.

JAX starts what plug-ins drive, which it finds by the namespace package ``jax_plugins``, by entry points of that name
and by a variable; and TPUs, where there is libtpu. In most installations there is none, and JAX need not be asked.
"""

import importlib.metadata
import importlib.util
import os
from functools import cache

from jaxbatch.compilation.before_jax import jax_import

_PACKAGES = "jax_plugins", "libtpu"
_VARIABLES = "PJRT_NAMES_AND_LIBRARY_PATHS", "TPU_LIBRARY_PATH", "JAX_FORCE_TPU_INIT", "JAX_PLATFORM_NAME"
"""Environment variables that add a device, or choose one in JAX's older way."""


def only_cpus() -> bool:
    """Whether JAX can find nothing but CPUs. Where it has been imported it may know better, and the answer is no."""
    if jax_import.imported() or os.environ.get("JAX_PLATFORMS", "") not in ("", "cpu"):
        return False
    if any(os.environ.get(name) for name in _VARIABLES):
        return False
    return not _installed()


@cache
def _installed() -> bool:
    """Whether there is a package that may drive other devices; to look takes some milliseconds."""
    found = any(importlib.util.find_spec(name) for name in _PACKAGES)
    return found or bool(importlib.metadata.entry_points(group="jax_plugins"))
