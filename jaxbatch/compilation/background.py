"""Compiling on threads beside those that compute."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_COMPILING = threading.Semaphore(os.cpu_count() or 1)
"""As many programs are compiled in the background at once."""


def compile_in_background(compile_: Callable[..., Any], *arguments: Any) -> None:
    """Compile in a thread of its own. An error is left out: it comes again to whoever uses the program."""

    def run() -> None:
        with suppress(Exception), _COMPILING:
            compile_(*arguments)

    # Not a daemon: an interpreter that ends while XLA compiles crashes.
    threading.Thread(target=run, name="jaxbatch-compile").start()
