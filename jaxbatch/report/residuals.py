"""Residuals of single fits, computed from the rows of the input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import JaxbatchError
from jaxbatch.input.listing import list_files
from jaxbatch.job.model import Job
from jaxbatch.report.run_records import RunRecords
from jaxbatch.report.sample import Sample
from jaxbatch.storage import open_file


@dataclass(frozen=True)
class FittedDataset:
    """One dataset's fitted values and residuals, each [observations].

    ``part`` and ``row`` say where in the output its fit is.
    """

    part: int
    row: int
    fitted: np.ndarray
    residuals: np.ndarray


def fitted_datasets(records: RunRecords, sample: Sample) -> list[FittedDataset]:
    """The dataset of each fit in a sample. Empty if rows are not datasets, or if the input cannot be read any more."""
    job = Job.from_record(records.plan.job, records.plan.paths_from)
    if "group_by" in job.params or job.params.get("target"):
        return []
    try:
        files = {file.name: file.path for file in list_files(job)}
        coefficients = sample.table.column(records.column_of("coefficients")).to_pylist()
        return [
            _fit(job, _dataset(records, job, files, int(part), int(row)), coefficients[number], int(part), int(row))
            for number, (part, row) in enumerate(zip(sample.part, sample.row, strict=True))
        ]
    except (JaxbatchError, pa.ArrowException, OSError, KeyError):
        return []


def _dataset(records: RunRecords, job: Job, files: dict[str, str], part: int, row: int) -> dict[str, Any]:
    """The row of the input that a row of the output was computed from."""
    shard = next((shard for shard in records.plan.layout if any(p[0] == part for p in shard["parts"])), None)
    if shard is None:
        raise KeyError(part)
    place = row + next(start for number, start, _ in shard["parts"] if number == part)
    for name, group, rows in shard["row_groups"]:
        if place < rows:
            with open_file(files[name], job.storage) as file, pq.ParquetFile(file) as parquet:
                return parquet.read_row_group(group, columns=_stored(job)).slice(place, 1).to_pylist()[0]
        place -= rows
    raise KeyError(part)


def _features(job: Job) -> list[str]:
    """The input's feature columns; none if one column holds all features."""
    features = job.params.get("features")
    return [job.input.columns.get(str(name), str(name)) for name in features] if isinstance(features, list) else []


def _stored(job: Job) -> list[str]:
    """The input's columns that a fit needs. Other columns may hold values that Python cannot, so they are not read."""
    named = job.input.columns
    return [*(_features(job) or [named.get("X", "X")]), named.get("y", "y")]


def _fit(job: Job, dataset: dict[str, Any], coefficients: list[float], part: int, row: int) -> FittedDataset:
    named = job.input.columns
    if features := _features(job):
        design = np.array([dataset[name] for name in features], float).T
    else:
        design = np.array(dataset[named.get("X", "X")], float)
    if job.params.get("intercept", True):
        design = np.c_[np.ones(len(design)), design]
    fitted = design @ np.array(coefficients, float)
    return FittedDataset(part, row, fitted, np.array(dataset[named.get("y", "y")], float) - fitted)
