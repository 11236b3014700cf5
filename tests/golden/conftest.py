"""What was recorded, and what the jobs give now: computed once for all processes of a test run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.golden import compute

RUNS = [
    *[("local", job) for job in compute.JOBS],
    *[("ray", job) for job in compute.ON_RAY],
    *[pytest.param("ray", job, marks=pytest.mark.slow) for job in compute.JOBS if job not in compute.ON_RAY],
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"engine", "job"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("engine", "job"), RUNS)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Any]:
    """JSON values that one process makes in a folder of a name, and the others take over."""
    base = tmp_path_factory.getbasetemp()
    golden = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "golden"
    golden.mkdir(mode=0o700, exist_ok=True)

    def made(name: str, make: Callable[[Path], Any]) -> Any:
        file = golden / f"{name}.json"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                file.write_text(json.dumps(make(golden / name)))
            return json.loads(file.read_text())

    return made


@pytest.fixture(scope="session")
def recorded(once: Callable[..., Any]) -> dict[str, Any]:
    """What was recorded, where it counts: bits follow from the versions and from what the processor can do."""
    recorded = compute.recorded()
    then, now = recorded["machine"], once("machine", compute.machine)
    if then != now:
        names = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
        told = "; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in names)
        pytest.skip(f"the golden digests were recorded elsewhere: {told}")
    return recorded


@pytest.fixture
def computed(once: Callable[..., Any], recorded: dict[str, Any], engine: str, job: str) -> compute.Digests:
    """What the jobs give now on an engine: on Ray the few that quick tests run, or one of the others."""
    del recorded  # which skips the test where it does not count
    if engine == "local":
        return once("local", lambda folder: compute.computed("local", compute.JOBS, folder))
    return once(f"ray-{job}", lambda folder: compute.computed("ray", [job], folder))
