"""How many threads NumPy's matrix products take."""

import ctypes
import functools
import importlib.util
from collections.abc import Callable

_EXTENSION = "numpy._core._multiarray_umath"
"""The module of NumPy that is linked to OpenBLAS."""

_QUESTIONS = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads")
"""What its function may be called: as in NumPy's own packages, or as in a system's."""


def has_one_thread() -> bool:
    """Whether NumPy's OpenBLAS computes each product on the thread that asks for it; False where it cannot be asked."""
    ask = _question()
    return ask is not None and ask() == 1


@functools.cache
def _question() -> Callable[[], int] | None:
    found = importlib.util.find_spec(_EXTENSION)
    if found is None or found.origin is None:
        return None
    try:
        library = ctypes.CDLL(found.origin)  # which is loaded already; its own libraries are searched too
    except OSError:
        return None
    return next((getattr(library, name) for name in _QUESTIONS if hasattr(library, name)), None)
