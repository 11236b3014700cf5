"""What happens in a run, told as it happens: log records that name the run and, where there is one, the part.

They go to a logger of their own, ``jaxbatch.events``, which is silent until somebody listens: who watches a run on a
terminal is told of failures at its end, counted.
"""

import logging
from typing import Any

FIELDS = ("run", "part", "worker")
"""What a record has beside its message: a fingerprint's first 8 digits, a number, a host and process."""

LOGGER = logging.getLogger(__name__)
LOGGER.propagate = False
LOGGER.addHandler(logging.NullHandler())


def emit(message: str, *values: object, run: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log something under a run's fingerprint and others of the FIELDS."""
    LOGGER.log(level, message, *values, extra={"run": run[:8], **fields})
