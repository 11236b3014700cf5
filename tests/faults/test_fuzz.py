"""Job files of any text and Parquet files of any bytes: an answer for people, and never a crash."""

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from jaxbatch import cli
from tests.faults import damaged, victim
from tests.faults.any_jobs import trials
from tests.faults.harmless import DEPTH, Trial, is_harmless, write_tasks

FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))

GROWTH_BYTES = 2**30
"""More memory than this, for some kilobytes of input, is a runaway."""

ANSWER_S = 60


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], seconds: float = 0, examples: int = 60) -> int:
    """Check examples until the time is over, or so many: their number."""
    done, ends = 0, time.monotonic() + seconds

    def one(example: Any) -> None:
        nonlocal done
        check(example)
        done += 1

    for seed in range(1_000_000):
        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        )
        hypothesis.seed(seed)(limits(hypothesis.given(strategy)(one)))()
        if time.monotonic() >= ends:
            break
    return done


class Victim:
    """The process that runs jobs on damaged files; begun again where it has died."""

    def __init__(self, folder: Path, *jobs: str):
        self.folder = folder
        self._jobs = jobs
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "functions.py").write_text("def f(x, v):\n    return {'a': 2 * x + v.sum(), 'b': x - v[0]}\n")
        for name, text in victim.JOBS.items():
            (folder / f"{name}.toml").write_text(text)

    def run(self, job: str, data: bytes) -> dict[str, Any]:
        """What comes of a job on a file of these bytes."""
        process = self._process or self._begin()
        assert process.stdin
        (self.folder / "tasks.parquet").write_bytes(data)
        process.stdin.write(f"{job}\n".encode())
        process.stdin.flush()
        return self._answer(process, ANSWER_S, f"job {job}")

    def end(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _begin(self) -> "subprocess.Popen[bytes]":
        (self.folder / "tasks.parquet").write_bytes(damaged.kind("plain", True).data)
        with (self.folder / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.faults.victim", *self._jobs],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert self._answer(self._process, 120, "start") == "ready"
        return self._process

    def _answer(self, process: "subprocess.Popen[bytes]", seconds: float, what: str) -> Any:
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        self.end()
        kept = self.folder / f"deadly-{time.time_ns()}.parquet"
        kept.write_bytes((self.folder / "tasks.parquet").read_bytes())
        fate = f"died with {process.returncode}" if ready else f"gave no answer in {seconds} s"
        raise AssertionError(
            f"{what}: the process {fate}. {self.folder}/stderr says where; to repeat it, copy {kept} to tasks.parquet "
            "in its folder and run the job there."
        )


@pytest.fixture
def unfortunate(tmp_path: Path) -> Iterator[Callable[..., Victim]]:
    """A process for damaged files and some jobs."""
    begun: list[Victim] = []

    def unfortunate(*jobs: str) -> Victim:
        begun.append(Victim(tmp_path, *jobs))
        return begun[-1]

    yield unfortunate
    for each in begun:
        each.end()


@dataclass(frozen=True)
class Damage:
    """A job, a kind of file, and what is done to it."""

    job: str
    kind: str
    checked: bool
    edits: Sequence[damaged.Edit]
    in_pages: bool
    """Whether its checksums show it, so that every row must be right where it is ``ok``."""


@st.composite
def damages(draw: st.DrawFn, jobs: Sequence[str]) -> Damage:
    """Damage that checksums show, or any."""
    job = draw(st.sampled_from(jobs))
    name, checked = draw(st.sampled_from(list(damaged.KINDS))), draw(st.booleans())
    in_pages = checked and draw(st.booleans())
    kind = damaged.kind(name, checked)
    if in_pages:
        edits = draw(damaged.flips(damaged.bodies(kind)))
    else:
        edits = draw(damaged.numbers(kind) | damaged.edits(damaged.places(kind)))
    return Damage(job, name, checked, edits, in_pages)


def check_damage(unfortunate: Victim) -> Callable[[Damage], None]:
    """A run on a damaged file ends as it should."""

    def check(damage: Damage) -> None:
        data = damaged.damaged(damaged.kind(damage.kind, damage.checked).data, damage.edits)
        answer = unfortunate.run(damage.job, data)
        assert answer["exit"] in (0, 1, 3, 4), answer["said"]
        assert answer["exit"] in (0, 3) or answer["said"]
        assert answer["grown"] < GROWTH_BYTES, answer
        assert not (damage.in_pages and answer["wrong"]), answer

    return check


def test_damaged_parquet_in_short(unfortunate):
    fuzz(damages(["apply"]), check_damage(unfortunate("apply")))


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_damaged_parquet(unfortunate):
    often = ["apply"] * 6 + ["taylor"] * 2 + ["regression"]  # by how fast they are
    done = fuzz(damages(often), check_damage(unfortunate(*victim.JOBS)), FUZZ_SECONDS)
    print(f"{done} damaged files")


class Jobs:
    """A folder in which any job is tried, which is put in order each time."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir()

    def check(self, trial: Trial) -> None:
        """``plan`` and ``run`` end with an exit code and at most three lines for people."""
        hypothesis.assume(is_harmless(trial, self.root))
        folder = self.root.joinpath(*DEPTH)
        shutil.rmtree(self.root)
        folder.mkdir(parents=True)
        write_tasks(trial.tasks, folder)
        (folder / "job.toml").write_bytes(trial.text)
        for command in (["plan"], ["run", "--engine=local", "--quiet"]):
            code, said = answer([*command, str(folder / "job.toml"), *trial.arguments])
            assert code in range(6), said
            assert "Traceback" not in said, said
            assert "Unexpected:" not in said, said
            assert len(said.splitlines()) <= 3, said
            assert said or code == 0


def answer(arguments: list[str]) -> tuple[Any, str]:
    """The exit code of a command that is run in this process, and what it says on stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", how) for how in ("strict", "backslashreplace"))
    signals = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGALRM)]
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, ANSWER_S)
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("default", UserWarning)
            with pytest.raises(SystemExit) as ended:
                cli.main(arguments)
            err.flush()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in signals:
            signal.signal(number, handler)
    return ended.value.code, err.buffer.getvalue().decode()


def _too_long(*_: Any) -> None:
    raise AssertionError(f"no answer in {ANSWER_S} s")


def test_any_job_in_short(tmp_path):
    fuzz(trials(), Jobs(tmp_path / "root").check)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_any_job(tmp_path):
    done = fuzz(trials(), Jobs(tmp_path / "root").check, FUZZ_SECONDS)
    print(f"{done} jobs")
