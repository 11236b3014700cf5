"""A job whose input grows from day to day, and what must hold of its output."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, api, verify
from jaxbatch.errors import JaxbatchError

DAILY = """
kernel = "derivatives"
[params]
function = "daily.py:f"
[input]
path = "tasks"
[output]
path = "results"
mode = "append"
rows_per_part = 20
"""

F = "def f(x):\n    return x * x\n"


class Daily:
    """A folder with a job whose input grows from day to day."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[int, float] = {}
        """The x that each id must have been computed of."""
        (folder / "tasks").mkdir()
        self.text(DAILY)
        self.function(F)

    def text(self, text: str) -> None:
        (self.folder / "job.toml").write_text(text)

    def function(self, text: str) -> None:
        (self.folder / "daily.py").write_text(text)

    def arrives(self, day: str, rows: int = 50) -> Path:
        """A day's file comes, of row groups of 20 rows."""
        ids = range(len(self.rows), len(self.rows) + rows)
        self.rows |= {each: each / 4 for each in ids}
        path = self.folder / "tasks" / f"{day}.parquet"
        pq.write_table(pa.table({"id": ids, "x": [self.rows[each] for each in ids]}), path, row_group_size=20)
        return path

    @property
    def output(self) -> Path:
        return self.folder / "results"

    def run(self, *overrides: str, variables: dict[str, str] | None = None, **options: Any) -> Any:
        job = Job.load(self.folder / "job.toml", variables, overrides)
        return api.run(job, **{"engine": "local", "workers": 2, **options})

    def plan(self, *overrides: str) -> dict[str, Any]:
        return api.preview(Job.load(self.folder / "job.toml", overrides=overrides))

    def start(self, *options: str, **environment: str) -> "subprocess.Popen[str]":
        """The same in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--json", "--quiet", "--workers", "1", *options],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> str:
        """What a command answers."""
        command = [sys.executable, "-m", "jaxbatch", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True, timeout=240).stdout

    def finish(self, process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
        """Its exit code, and what it printed."""
        out, _ = process.communicate(timeout=240)
        return process.returncode, json.loads(out or "{}")

    def computed(self) -> dict[int, tuple[float, float]]:
        """What a reader sees: x and f(x) by id."""
        table = pa.concat_tables([pq.read_table(part) for part in sorted((self.output / "data").iterdir())])
        assert table["id"].to_pylist() == list(dict.fromkeys(table["id"].to_pylist())), "a row is there twice"
        return {row["id"]: (row["x"], row["value"]) for row in table.to_pylist()}

    def check(self) -> None:
        """Every row of the input is once in the output, which is whole."""
        assert self.computed() == {each: (x, x * x) for each, x in self.rows.items()}
        assert (self.output / "_SUCCESS").exists()
        assert verify(self.output) == []

    def parts(self) -> dict[str, int]:
        """Every part, and when it was written."""
        return {part.name: part.stat().st_mtime_ns for part in (self.output / "data").iterdir()}


def refusal(kind: type[JaxbatchError], call: Any, *arguments: Any, **options: Any) -> str:
    """The error that a call must raise, as a user reads it."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)
