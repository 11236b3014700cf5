"""Events of a run as log records that name the run and, if it is about one, the part.

They go to a logger of their own, ``jaxbatch.events``, which is silent unless a handler is added. On a terminal failures
are counted at the end of the run instead.
"""

import logging
from typing import Any

FIELDS = ("run", "part", "worker")
"""Attributes of a record: the first 8 digits of the run's fingerprint, the part's number, the worker's host and
process."""

LOGGER = logging.getLogger(__name__)
LOGGER.propagate = False
LOGGER.addHandler(logging.NullHandler())


def emit(message: str, *values: object, run: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event.

    Args:
        message: as for :meth:`logging.Logger.info`.
        values: what is filled into it.
        run: the run's fingerprint.
        level: of :mod:`logging`.
        fields: other FIELDS of the record.
    """
    LOGGER.log(level, message, *values, extra={"run": run[:8], **fields})
