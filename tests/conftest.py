"""Fixtures that every test may use. Array annotations are checked at run time in the numerical packages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.compilation import process_setup
from tests.annotations import check_annotations
from tests.forked import ForkServer

process_setup.prepare(platforms=os.environ.get("JAX_PLATFORMS", "cpu"))
check_annotations()


class Bench:
    """A folder with one job in it: write tasks, run the job in this process, read the results."""

    def __init__(self, folder: Path):
        self.folder = folder

    def tasks(self, columns: "Mapping[str, Any] | pa.Table", name: str = "tasks.parquet", **options: Any) -> Path:
        """Write a Parquet file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
        pq.write_table(table, path, **options)
        return path

    def file(self, name: str, text: str) -> Path:
        """Write a text file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def job(self, text: str, name: str = "job.toml", *overrides: str) -> Any:
        """The job of a TOML text; [input] and [output] are added where it has none."""
        from jaxbatch import Job

        if "[input]" not in text:
            text += '\n[input]\npath = "tasks.parquet"\n'
        if "[output]" not in text:
            text += '\n[output]\npath = "results"\n'
        return Job.load(self.file(name, text), overrides=overrides)

    def run(self, text: str, *overrides: str, **options: Any) -> Any:
        """Run a job in this process, on the local engine unless told otherwise: its ``Summary``."""
        from jaxbatch import api

        return api.run(self.job(text, "job.toml", *overrides), **{"engine": "local", "workers": 2, **options})

    def rows(self, text: str, *overrides: str, **options: Any) -> list[dict[str, Any]]:
        """Run a job anew and read its output's rows."""
        summary = self.run(text, *overrides, **{"restart": True, **options})
        return self.output(summary).to_pylist()

    def output(self, summary: Any) -> pa.Table:
        """The output of a run, parts in order."""
        files = sorted((Path(summary.output) / "data").glob("part-*.parquet"))
        return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.fixture(scope="session", autouse=True)
def compiled_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled programs are kept: one folder for all processes of a test run, and none of the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["JAXBATCH_CACHE"] = str(folder)
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def fork_server(compiled_programs: Path) -> Iterator[ForkServer]:
    """A process that has imported JAX, for commands to be forked from."""
    del compiled_programs  # which is named in the environment
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def jaxbatch(tmp_path: Path, fork_server: ForkServer) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The ``jaxbatch`` command, run in the test's folder in a process of its own, as a user would."""

    def run(*arguments: object, env: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
        words = list(map(str, arguments))
        if fork_server.serves(env):
            return fork_server.run(words, cwd=tmp_path, environment=env)
        command = [sys.executable, "-m", "jaxbatch", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def jaxbatch_json(jaxbatch: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., dict[str, Any]]:
    """The JSON object that ``jaxbatch … --json`` prints."""

    def run(*arguments: object, **options: Any) -> dict[str, Any]:
        return json.loads(jaxbatch(*arguments, "--json", **options).stdout)

    return run
