"""Job files of any text and Parquet files of any bytes: an answer for people, and never a crash."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.faults import damaged, victim

FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))

GROWTH_BYTES = 2**30
"""More memory than this, for some kilobytes of input, is a runaway."""

ANSWER_S = 60


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], seconds: float = 0, examples: int = 60) -> int:
    """Check examples until the time is over, or so many: their number."""
    done, ends = 0, time.monotonic() + seconds

    def one(example: Any) -> None:
        nonlocal done
        done += 1
        check(example)

    for seed in range(1_000_000):
        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        )
        hypothesis.seed(seed)(limits(hypothesis.given(strategy)(one)))()
        if time.monotonic() >= ends:
            break
    return done


class Victim:
    """The process that runs jobs on damaged files; begun again where it has died."""

    def __init__(self, folder: Path):
        self.folder = folder
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
                [sys.executable, "-X", "faulthandler", "-m", "tests.faults.victim"],
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
        raise AssertionError(f"{what}: the process {fate}; copy {kept} to tasks.parquet beside it and run it again.")


@pytest.fixture
def unfortunate(tmp_path: Path) -> Iterator[Victim]:
    """A process for damaged files."""
    found = Victim(tmp_path)
    yield found
    found.end()


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
def damages(draw: st.DrawFn) -> Damage:
    """Damage that checksums show, or any."""
    job = draw(st.sampled_from(["apply"] * 6 + ["taylor"] * 2 + ["regression"]))
    name, checked = draw(st.sampled_from(list(damaged.KINDS))), draw(st.booleans())
    in_pages = checked and draw(st.booleans())
    kind = damaged.kind(name, checked)
    edits = draw(damaged.flips(damaged.bodies(kind)) if in_pages else damaged.edits(damaged.places(kind)))
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
    fuzz(damages(), check_damage(unfortunate))


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_damaged_parquet(unfortunate):
    done = fuzz(damages(), check_damage(unfortunate), FUZZ_SECONDS)
    print(f"{done} damaged files")
