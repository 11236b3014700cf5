"""LAPACK, which JAX calls on CPUs: scipy's OpenBLAS, which chooses its code by the processor and its threads by the
cores.

Both decide the last bits of results. So both are fixed before it is loaded, unless the user has chosen them; and what a
process has is part of the identity of programs that call it. A LAPACK other than scipy's own cannot be asked: the
model of the processor stands for its choices.
"""

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from jaxbatch.compilation import instructions, processor

_CORE, _THREADS = "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS"

PINNED = (_CORE, _THREADS)
"""Variables that every process of a run has alike, from its start."""

_PLACES = ("../scipy.libs/*openblas*", ".dylibs/*openblas*")
"""Where scipy's packages have the library, from scipy's folder."""

_NAMES = ("scipy_openblas_{}", "scipy_openblas_{}64_", "openblas_{}")
"""What its functions may be called."""


def pin() -> None:
    """Have it use one thread, and the same code on all machines with AVX2."""
    os.environ.setdefault(_THREADS, "1")
    if processor.has_avx2():
        os.environ.setdefault(_CORE, "Haswell")


def in_this_process() -> str:
    """Its version, code and threads in this process; this loads it, which takes milliseconds."""
    path = _library()
    if path is None:
        import importlib.metadata

        return f"of scipy {importlib.metadata.version('scipy')} on {processor.model()}"
    library = ctypes.CDLL(str(path))
    version = _ask(library, "get_config", ctypes.c_char_p).decode().split(" ")[1]
    core = _ask(library, "get_corename", ctypes.c_char_p).decode()
    threads = _ask(library, "get_num_threads", ctypes.c_int)
    return f"OpenBLAS {version}, {core}, {threads} thread{'s' * (threads > 1)}"


def run_lapack() -> str:
    """The same for the processes that compute: this one, or those that are yet to start."""
    if not (instructions.in_new_processes() and _is_loaded()):
        return in_this_process()
    import subprocess

    asked = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def _library() -> Path | None:
    scipy = importlib.util.find_spec("scipy")
    if scipy is None or scipy.origin is None:
        return None
    folder = Path(scipy.origin).parent
    return next((path.resolve() for place in _PLACES for path in folder.glob(place)), None)


def _is_loaded() -> bool:
    path = _library()
    try:
        return path is not None and bool(ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW))
    except OSError:
        return False


def _ask(library: ctypes.CDLL, question: str, kind: Any) -> Any:
    """Call a function of the library that takes no argument and returns ``kind``."""
    name = next(name for name in (each.format(question) for each in _NAMES) if hasattr(library, name))
    function = getattr(library, name)
    function.restype = kind
    return function()


if __name__ == "__main__":
    print(in_this_process())
