"""What every kernel promises, tried on the sample job of each that there is."""

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jaxbatch
from jaxbatch.cli import job_templates
from jaxbatch.kernels import registry

ROWS = 30


class Sample:
    """A kernel's sample job, with tasks that the test may spoil, turn round and cut into files."""

    def __init__(self, kernel: str, bench: Any):
        self.bench = bench
        template = job_templates.template(kernel)
        self.job = template.job
        if template.functions:
            bench.file("functions.py", template.functions)
        table = template.tasks()
        columns = [name for name in table.column_names if name != "id"]
        several = pa.concat_tables([table.select(columns)] * ROWS).slice(0, ROWS)
        self.rows = [{"id": number, **row} for number, row in enumerate(several.to_pylist())]
        self.columns = columns
        self.schema = several.schema.insert(0, pa.field("id", pa.int64()))

    def run(self, *files: list[dict[str, Any]]) -> tuple[Any, dict[int, str]]:
        """Run the job on these files in batches of 8; the summary, and each row's output, every bit of it, by id."""
        for file in self.bench.folder.glob("*.parquet"):
            file.unlink()
        for number, rows in enumerate(files):
            self.bench.tasks(pa.Table.from_pylist(rows, self.schema), f"tasks-{number}.parquet", row_group_size=5)
        summary = self.bench.run(self.job, 'input.path="*.parquet"', "compute.batch_rows=8", restart=True)
        return summary, {row["id"]: repr(row) for row in self.bench.output(summary).to_pylist()}


@pytest.fixture(params=registry.names())
def sample(request, bench) -> Sample:
    return Sample(request.param, bench)


def spoilt(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The row with a null, a NaN or an infinity in each place in turn."""
    for name, value in row.items():
        if name == "id":
            continue
        yield {**row, name: None}
        for bad in (math.nan, -math.inf, None):
            if isinstance(value, list):
                first = [bad, *value[0][1:]] if isinstance(value[0], list) else bad
                yield {**row, name: [first, *value[1:]]}
            elif isinstance(value, float):
                yield {**row, name: bad}


def test_the_schema_is_the_planned_one(sample):
    sample.run(sample.rows)
    planned = jaxbatch.plan(sample.bench.job(sample.job, "job.toml", 'input.path="*.parquet"')).schema
    for part in (sample.bench.folder / "results").rglob("part-*.parquet"):
        written = pq.read_schema(part).remove_metadata()
        assert written.equals(planned.remove_metadata())
        assert [field.metadata for field in written] == [field.metadata for field in planned]
    kept = ["id", *(name for name in sample.columns if not pa.types.is_nested(sample.schema.field(name).type))]
    assert planned.names[: len(kept)] == kept
    assert planned.names[-1] == "status"


def test_a_bad_neighbour_changes_no_bit(sample):
    _, alone = sample.run(sample.rows)
    assert all("'status': 'ok'" in row for row in alone.values())
    ways = itertools.cycle(spoilt(sample.rows[0]))
    rows = [{**next(ways), "id": row["id"]} if row["id"] % 3 == 2 else row for row in sample.rows]
    _, beside = sample.run(rows)
    for number in range(ROWS):
        assert (beside[number] == alone[number]) == (number % 3 != 2), rows[number]


def test_place_and_files_change_no_bit(sample):
    _, whole = sample.run(sample.rows)
    shuffled = random.Random(1).sample(sample.rows, len(sample.rows))
    _, cut = sample.run(shuffled[:1], shuffled[1:12], shuffled[12:])
    assert cut == whole


def test_one_compilation_per_bucket(sample):
    few, _ = sample.run(sample.rows)
    many, _ = sample.run(sample.rows, *(sample.rows[k:] for k in range(3)))
    assert many.compilations == few.compilations
    planned = jaxbatch.plan(sample.bench.job(sample.job, "job.toml", 'input.path="*.parquet"'))
    if not planned.programs:
        assert few.compilations == 0
    elif not any(program["sizes"] for program in planned.programs):
        assert 1 <= few.compilations <= len(planned.programs)
    else:
        assert few.compilations < ROWS
