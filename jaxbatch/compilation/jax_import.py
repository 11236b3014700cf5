"""Importing JAX beside other work: it takes half of the time until a run begins to read."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Importing(threading.Thread):
    """Imports JAX. An error is left out: it comes again to whoever imports JAX."""

    def run(self) -> None:
        with suppress(Exception), _without_looking_for_rocm():
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


@contextmanager
def _without_looking_for_rocm() -> Iterator[None]:
    """Tell JAX's modules of no installed packages while they are imported, unless one may be its plug-in for ROCm.

    For that name JAX 0.10 reads the metadata of all packages, a tenth of its import where a hundred are installed.
    """
    if _may_have_rocm():
        yield
        return
    import importlib.metadata

    distributions = importlib.metadata.distributions

    def listed(**context: Any) -> Any:
        asking = sys._getframe(1).f_globals.get("__name__", "")
        return () if asking.startswith("jax.") else distributions(**context)

    importlib.metadata.distributions = listed  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        importlib.metadata.distributions = distributions


def _may_have_rocm() -> bool:
    """Whether a package of that name lies in a folder that modules are imported from, or in an archive, unseen."""
    for place in sys.path:
        with suppress(FileNotFoundError):
            try:
                names = os.listdir(place or ".")
            except NotADirectoryError:
                return True
            if any(name.lower().replace("-", "_").startswith("jax_rocm") for name in names):
                return True
    return False
