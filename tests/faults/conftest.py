"""Jobs to disturb, and what must hold after every disturbance."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, api, verify

ROWS = """
kernel = "derivatives"
[params]
function = "jax.numpy:sin"
[compute]
device = "cpu"
[input]
path = "tasks"
[output]
path = "results"
rows_per_part = 100
"""

GROUPS = """
kernel = "regression"
[params]
group_by = ["site"]
features = ["x"]
target = "y"
[input]
path = "observations"
[output]
path = "results"
rows_per_part = 300
"""

JOBS = {"rows": ROWS, "groups": GROUPS}


def write_inputs(folder: Path) -> None:
    """Two files of three row groups, for either job."""
    rng = np.random.default_rng(11)
    for name in ("tasks", "observations"):
        (folder / name).mkdir()
    for number in range(2):
        x = rng.normal(size=300)
        tasks = pa.table({"id": np.arange(300) + 300 * number, "x": x})
        pq.write_table(tasks, folder / f"tasks/{number}.parquet", row_group_size=100)
        observations = pa.table({"site": rng.integers(0, 9, 300), "x": x, "y": 2 * x + rng.normal(size=300)})
        pq.write_table(observations, folder / f"observations/{number}.parquet", row_group_size=100)


@dataclass
class Site:
    """A folder with a job in it, and the digests that its parts must have."""

    folder: Path
    expected: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The output's folder."""
        return self.folder / "results"

    def command(self, *options: str) -> list[str]:
        """The command line of a run."""
        return [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--quiet", *options]

    def process(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the job in a process of its own."""
        return subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )

    def run(self, **options: Any) -> Any:
        """Run the job in this process."""
        return api.run(Job.load(self.folder / "job.toml"), **{"engine": "local", "workers": 2, **options})

    def digests(self) -> dict[str, str]:
        """Of every file that a reader of OUT/data sees."""
        found = sorted((self.output / "data").glob("*")) if (self.output / "data").exists() else []
        return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in found}

    def check_readable(self) -> None:
        """What holds at any moment: only whole parts are to be seen, and _SUCCESS means all of them."""
        digests = self.digests()
        assert digests.items() <= self.expected.items()
        if (self.output / "_SUCCESS").exists():
            assert digests == self.expected
            assert verify(self.output) == []

    def check_finished(self) -> None:
        """What holds in the end: nothing is lost, doubled or left over."""
        assert self.digests() == self.expected
        assert (self.output / "_SUCCESS").exists()
        assert verify(self.output) == []
        left = {path.name for path in (self.output / "_jaxbatch").rglob("*") if path.is_file()}
        assert left == {"plan.json", "manifest.json", "report.json"}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mapping[str, str]]:
    """The digests of every part of each job, run in peace."""
    found = {}
    for name, text in JOBS.items():
        folder = tmp_path_factory.mktemp(f"undisturbed-{name}")
        write_inputs(folder)
        (folder / "job.toml").write_text(text)
        site = Site(folder, {})
        assert site.run().exit_code == 0
        found[name] = site.digests()
    return found


@pytest.fixture
def site(tmp_path: Path, undisturbed: dict[str, Mapping[str, str]]) -> Site:
    """The job of a row a row."""
    return a_site(tmp_path, "rows", undisturbed)


@pytest.fixture
def grouped(tmp_path: Path, undisturbed: dict[str, Mapping[str, str]]) -> Site:
    """The job of two stages."""
    return a_site(tmp_path, "groups", undisturbed)


def a_site(folder: Path, job: str, undisturbed: dict[str, Mapping[str, str]]) -> Site:
    """A job in a folder of its own."""
    write_inputs(folder)
    (folder / "job.toml").write_text(JOBS[job])
    return Site(folder, undisturbed[job])
