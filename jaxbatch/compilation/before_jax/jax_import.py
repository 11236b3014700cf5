"""Importing JAX beside other work: it takes half of the time until a run begins to read."""

import sys
import threading
from contextlib import suppress


class _Importing(threading.Thread):
    """Imports JAX. An error is left out: it comes again to whoever imports JAX."""

    def run(self) -> None:
        with suppress(Exception):
            import jax  # noqa: F401


_thread: _Importing | None = None


def begin() -> None:
    """Begin to import JAX on a thread of its own. Whoever needs it meanwhile waits in its import statement."""
    global _thread
    if "jax" not in sys.modules:
        _thread = _Importing(name="jaxbatch-import", daemon=True)
        _thread.start()


def imported() -> bool:
    """Whether JAX has been imported, and not only begun to be by :func:`begin`."""
    return "jax" in sys.modules and not (_thread is not None and _thread.is_alive())
