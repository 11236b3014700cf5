"""One job of 400 parts, killed 200 times at random: nothing is lost. ``make soak``; SOAK_SEED repeats one."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.conftest import Site
from tests.faults.test_workers import descendants

KILLS, PARTS, ROWS = 200, 400, 25

JOB = f"""
kernel = "counting.py:Counting"
[params]
seconds = 0.3
[input]
path = "tasks"
[output]
path = "results"
rows_per_part = {ROWS}
"""


@pytest.fixture
def large(tmp_path):
    """A job of 400 parts that takes two minutes of sleep, and the digests that it should have."""
    shutil.copy(Path(__file__).parents[1] / "counting.py", tmp_path)
    (tmp_path / "tasks").mkdir()
    for number in range(4):
        x = np.arange(PARTS * ROWS / 4) + number * PARTS * ROWS / 4
        pq.write_table(pa.table({"x": x}), tmp_path / f"tasks/{number}.parquet", row_group_size=ROWS)
    (tmp_path / "job.toml").write_text(JOB)
    site = Site(tmp_path, {})
    assert site.run(workers=16).exit_code == 0
    site.expected = site.digests()
    assert len(site.expected) == PARTS
    shutil.rmtree(site.output)
    return site


def start_over(site: Site) -> bool:
    """Check and remove an output that is complete, so that what is killed has work to do."""
    if len(site.digests()) < PARTS:
        return False
    assert site.run(workers=16).exit_code == 0
    site.check_finished()
    shutil.rmtree(site.output)
    return True


def wait_for(site: Site, process: subprocess.Popen, parts: int) -> None:
    """Until so many parts are there, or the run has ended."""
    while process.poll() is None and len(list((site.output / "data").glob("*"))) < parts:
        time.sleep(0.005)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing(large, capsys):
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
    with capsys.disabled():
        print(f"\nSOAK_SEED={seed}")
    chance, kills, runs, complete = random.Random(seed), 0, 0, 0
    by = {"driver": 0, "worker": 0, "raylet": 0, "gcs_server": 0}
    started = time.monotonic()
    while kills < KILLS:
        engine = "ray" if chance.random() < 0.2 else "local"
        runs += 1
        complete += start_over(large)
        process = subprocess.Popen(
            large.command("--engine", engine, "--workers", "1" if engine == "local" else "2"),
            cwd=large.folder,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and kills < KILLS:
            wait_for(large, process, len(large.digests()) + chance.randrange(3))
            time.sleep(chance.random() * (1.5 if chance.random() < 0.2 else 0.1))  # now and then before the first part
            victim = (
                "driver"
                if engine == "local"
                else chance.choice(["worker", "worker", "worker", "driver", "raylet", "gcs_server"])
            )
            if process.poll() is not None:
                break
            if victim == "driver":
                process.send_signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
                process.wait(timeout=60)
            else:
                name = {"worker": "ray::Actor", "raylet": "raylet/raylet"}.get(victim, victim)
                while not (found := descendants(process.pid, name)) and process.poll() is None:
                    time.sleep(0.05)
                if not found:
                    continue
                os.kill(chance.choice(found), signal.SIGKILL)
                if victim != "worker":
                    process.wait(timeout=120)
            kills += 1
            by[victim] += 1
            large.check_readable()
        process.kill()
        process.wait()
    there = len(large.digests())
    assert all(by.values()), by
    assert large.run(workers=16).exit_code == 0
    large.check_finished()
    with capsys.disabled():
        print(f"{kills} kills ({by}) in {runs} runs, {time.monotonic() - started:.0f} s;", end=" ")
        print(f"all parts were there {complete} times, and {there} of {PARTS} before the last run")
