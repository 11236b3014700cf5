"""JAX is imported while the job is read and checked, where its kernel will need it."""

import tomllib
from contextlib import suppress
from pathlib import Path

from jaxbatch.compilation.before_jax import jax_import


def import_ahead(job: str) -> None:
    """Begin to import JAX for a job's file, whose kernel is looked up in it, and nothing else.

    A file that cannot be read is left to whoever checks the job.
    """
    with suppress(OSError, ValueError):
        if tomllib.loads(Path(job).read_text(encoding="utf-8")).get("kernel") != "regression":
            jax_import.begin()
