"""SIGINT and SIGTERM end a run in an orderly way: as :class:`~jaxbatch.errors.Interrupted`."""

import signal
from typing import Any

from jaxbatch.errors import ExitCode, Interrupted

_received: list[int] = []


def listen() -> None:
    """Have SIGINT and SIGTERM raise ``Interrupted``; a SIGINT that is ignored on purpose stays ignored."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def interrupted() -> Interrupted | None:
    """The error for the last signal received, or None. It is kept even if its exception was swallowed."""
    return Interrupted(ExitCode(128 + _received[-1])) if _received else None


def check() -> None:
    """Raise again for a signal whose exception was swallowed, as one in a destructor or a C library's callback is.

    Raises:
        Interrupted: a signal was received.
    """
    if (error := interrupted()) is not None:
        raise error


def _interrupt(number: int, _: Any) -> None:
    _received.append(number)
    check()
