"""Runs golden jobs on an engine, in a process whose environment leaves nothing to chance.

``python -m tests.golden.compute ENGINE FOLDER JOB…`` is that process; with ``machine`` instead of an engine it prints
what the bits depend on here.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jaxbatch
from tests.golden import outputs, tasks

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
JOBS = tuple(sorted(path.stem for path in (HERE / "jobs").glob("*.toml")))

ON_RAY = ("long", "one-number", "own")
"""Those that quick tests run on Ray too, of which each is a start of seconds: rows, groups in two stages, and code of
the user's. The others are among the slow tests."""

_KEPT = ("HOME", "LANG", "PATH", "TMPDIR", "USER")
"""Of the environment; all else might decide bits: XLA's and JAX's flags, the number of CPUs, LAPACK's threads …"""

_PINNED = {"JAX_PLATFORMS": "cpu", "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}

Digests = dict[str, Any]
"""What is in the parts of each job, by the job's name."""


def recorded() -> dict[str, Any]:
    """What was recorded: ``contents`` by job, and the ``machine``."""
    return json.loads(DIGESTS.read_text(encoding="utf-8"))


def machine(folder: Path) -> dict[str, Any]:
    """What a run's identity says of all that decides bits and is not this project's: versions and the processor."""
    _prepare(folder)
    return json.loads(_python(folder, "machine"))


def computed(engine: str, jobs: Iterable[str], folder: Path) -> Digests:
    """What some jobs give on an engine; their input and output go to a new folder.

    On Ray each has a process of its own, since Ray forks, which one in which JAX has started had better not. Compiled
    programs are kept beside the folder, for the next.
    """
    _prepare(folder)
    jobs = tuple(jobs)
    for some in [jobs] if engine == "local" else [(job,) for job in jobs]:
        _python(folder, engine, *some)
    results = {job: folder / "results" / job for job in jobs}
    return {job: outputs.contents(output) for job, output in results.items()}


def _prepare(folder: Path) -> None:
    shutil.copytree(HERE / "jobs", folder, ignore=shutil.ignore_patterns("__pycache__"))
    tasks.write(folder / "tasks")


def _python(folder: Path, what: str, *jobs: str) -> str:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-m", __name__, what, str(folder), *jobs],
        cwd=HERE.parent.parent,
        env={**kept, **_PINNED, "JAXBATCH_CACHE": str(folder.parent / "compiled")},
        capture_output=True,
        text=True,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"The golden jobs do not run ({what} {' '.join(jobs)}):\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def _run(engine: Any, folder: Path, job: str) -> None:
    """Run one job; the one that grows a second time, when another file has come."""
    jaxbatch.run(folder / f"{job}.toml", engine=engine, workers=2)
    if job == "append":
        tasks.write_day(folder / "tasks", 1)
        jaxbatch.run(folder / f"{job}.toml", engine=engine, workers=2)


def _machine(folder: Path) -> dict[str, Any]:
    code = jaxbatch.plan(folder / "own.toml").identity["code"]  # whose lists might be given to LAPACK
    versions = {name: version for name, version in code["versions"].items() if name != "jaxbatch"}
    ours = ("program", "untraced", "versions")
    return {**{name: fact for name, fact in code.items() if name not in ours}, **versions}


def main(what: str, folder: Path, jobs: Iterable[str]) -> None:
    """Run jobs in this process, or say what the bits depend on in it."""
    if what == "machine":
        print(json.dumps(_machine(folder)))
    for job in jobs:
        _run(what, folder, job)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
