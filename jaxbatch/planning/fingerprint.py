"""The identity of a run: everything that can change a bit of its output, and nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.types import metadata_texts
from jaxbatch.job.model import Job
from jaxbatch.planning.naming import NamedColumns


def fingerprint(identity: Mapping[str, Any]) -> str:
    """The SHA-256 of an identity, in hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def job_identity(
    job: Job,
    opened: InputTable,
    columns: NamedColumns,
    steps: RowSteps,
    limit: int | None,
    batch_rows: Sequence[int],
) -> dict[str, Any]:
    """The part of an identity that follows from the job and its input files.

    Args:
        job: the job.
        opened: the input's files that are used.
        columns: which columns are read and written.
        steps: what becomes of rows between their file and the kernel.
        limit: how many of the input's first rows are computed, where that was asked for; else None.
        batch_rows: the width of every program that the plan lists.
    """
    seed = {} if job.compute.seed is None else {"seed": job.compute.seed}
    return {
        "kernel": job.kernel,
        "params": job.params,
        "compute": {"precision": job.compute.precision, "batch_rows": list(batch_rows), **seed},
        "input": {
            "files": _files(opened, steps),
            "columns": dict(columns.stored),
            "constants": dict(job.input.constants),
            "keep": list(columns.keep),
            "defaults": list(job.input.defaults),
            "limit": limit,
            **steps.identity(),
        },
        "rows_per_part": job.output.rows_per_part,
        "compression": job.output.compression,
    }


def _files(opened: InputTable, steps: RowSteps) -> list[dict[str, Any]]:
    files = [{"name": file.name, "size": file.size, "footer": file.footer_digest} for file in opened.files]
    if steps.named_by and steps.named_by.names:
        return [{**file, "called": name} for file, name in zip(files, steps.named_by.names, strict=True)]
    return files


def schema_identity(schema: pa.Schema) -> list[Any]:
    """Name, type and metadata of every column that is written."""
    return [[field.name, str(field.type), metadata_texts(field.metadata)] for field in schema]
