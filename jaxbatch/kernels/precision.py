"""Whether JAX has 64-bit types while functions are loaded, traced and run."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from jaxbatch.kernels.base import Kernel


def x64_context(name: str, kernel: type[Kernel] | Kernel | None = None) -> AbstractContextManager[Any]:
    """The context in which functions are loaded, traced and run: with 64-bit types, or without.

    Args:
        name: the run's precision, ``"float32"`` or ``"float64"``.
        kernel: one that may need 64-bit types in float32 runs too.
    """
    if kernel is not None and not kernel.uses_jax:
        return nullcontext()
    import jax

    return jax.enable_x64(name == "float64" or (kernel is not None and kernel.needs_x64))
