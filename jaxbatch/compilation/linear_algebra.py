"""LAPACK, which JAX calls on CPUs: scipy's OpenBLAS, which takes its code by the processor and threads by the cores.

Both decide the last bits of results. So both are fixed before it is loaded, where the user has not; and what is in
effect is part of the identity of what calls it. Another LAPACK than scipy's own cannot be asked, and stands for the
processor that it is on.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from jaxbatch.compilation import instructions

_CORE, _THREADS = "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS"

PINNED = (_CORE, _THREADS)
"""Variables that every process of a run has alike, from its start."""

_PLACES = ("../scipy.libs/*openblas*", ".dylibs/*openblas*")
"""Where scipy's packages have it."""

_NAMES = ("scipy_openblas_{}", "scipy_openblas_{}64_", "openblas_{}")


def pin() -> None:
    """Have it take the same code on all machines with AVX2, and one thread."""
    os.environ.setdefault(_THREADS, "1")
    if instructions.has_avx2():
        os.environ.setdefault(_CORE, "Haswell")


def in_effect() -> str:
    """What this process has, or will have: asking loads it, which takes milliseconds."""
    path = _library()
    if path is None:
        return f"of scipy {importlib.metadata.version('scipy')} on {_processor()}"
    library = ctypes.CDLL(str(path))
    version = _ask(library, "get_config", ctypes.c_char_p).decode().split(" ")[1]
    core = _ask(library, "get_corename", ctypes.c_char_p).decode()
    threads = _ask(library, "get_num_threads", ctypes.c_int)
    return f"OpenBLAS {version}, {core}, {threads} thread{'s' * (threads > 1)}"


def of_the_run() -> str:
    """What it is where the run computes: in this process, or in those that are yet to start."""
    if not (instructions.elsewhere() and _is_loaded()):
        return in_effect()
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


def _ask(library: ctypes.CDLL, what: str, kind: Any) -> Any:
    name = next(name for name in (each.format(what) for each in _NAMES) if hasattr(library, name))
    function = getattr(library, name)
    function.restype = kind
    return function()


def _processor() -> str:
    """The processor's model, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    told = ("model name", "CPU implementer", "CPU part")
    found = dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(told))
    return f"{platform.machine()} {' '.join(found)}".strip()


if __name__ == "__main__":
    print(in_effect())
