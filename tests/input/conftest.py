"""Jobs over the files that a test needs."""

import json

import pyarrow as pa
import pytest

from jaxbatch.job.model import Job

ONE = pa.table({"a": [1.0]})


@pytest.fixture
def job(bench):
    """A job over a path or a list of them, and the files that it needs."""

    def job(path: str | list[str] = "tasks", *files: str, output: str = "results", **keys: object) -> Job:
        for name in files:
            bench.tasks(ONE, name)
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        return bench.job(
            f'kernel = "taylor"\n[input]\npath = {json.dumps(path)}\n{settings}[output]\npath = "{output}"\n'
        )

    return job
