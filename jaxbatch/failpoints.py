"""Crash points: places where a test may end this process, to see what a crash there leaves behind.

They do nothing unless JAXBATCH_CRASH_AT in the environment names one of them: as ``name``, or as ``name@3`` for the
third time that it is passed.
"""

import os
import signal
import threading
from collections import Counter

POINTS = (
    "planned",
    "create.begun",
    "aside",
    "aside.synced",
    "put",
    "put.synced",
    "claimed",
    "unsealed",
    "shard.begun",
    "part.read",
    "part.encoded",
    "part.published",
    "shard.done",
    "replace.begun",
    "deleted",
    "sealing",
    "seal.cleaned",
    "seal.manifest",
    "sealed",
)

_WANTED, _, _TIMES = os.environ.get("JAXBATCH_CRASH_AT", "").partition("@")
_passed: Counter[str] = Counter()
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """End this process by SIGKILL if JAXBATCH_CRASH_AT names this point."""
    if name != _WANTED:
        return
    with _lock:
        _passed[name] += 1
        if _passed[name] == int(_TIMES or 1):
            os.kill(os.getpid(), signal.SIGKILL)
