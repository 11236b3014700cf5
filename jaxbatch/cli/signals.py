"""SIGINT and SIGTERM end a run in order."""

import signal
from typing import Any

from jaxbatch.errors import ExitCode, Interrupted

_received: list[int] = []


def listen() -> None:
    """Answer both with :class:`~jaxbatch.errors.Interrupted`, but a SIGINT that is ignored on purpose."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def interrupted() -> Interrupted | None:
    """The signal that came, whatever has become of its exception."""
    return Interrupted(ExitCode(128 + _received[-1])) if _received else None


def check() -> None:
    """Raise again what got lost: an exception that meets a destructor or a callback of a C library goes no further.

    Raises:
        Interrupted: there was a signal.
    """
    if (signalled := interrupted()) is not None:
        raise signalled


def _interrupt(number: int, _: Any) -> None:
    _received.append(number)
    check()
