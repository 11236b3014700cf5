"""What a run shows while it is at work: a bar for people, JSON lines for programs."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.mark.parametrize("seconds", [0.0, 0.4], ids=["at once", "for a while"])
def test_a_terminal_shows_a_bar(seconds, tmp_path):
    shutil.copy(Path(__file__).parents[1] / "counting.py", tmp_path)
    pq.write_table(pa.table({"x": [0.0] * 40}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(
        f'kernel = "counting.py:Counting"\nparams = {{ seconds = {seconds} }}\n'
        '[input]\npath = "tasks.parquet"\n[output]\npath = "results"\nrows_per_part = 10\n'
    )
    terminal, program_side = pty.openpty()
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--workers", "1"]
    size = {"TERM": "xterm", "COLUMNS": "120", "LINES": "24"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **size}, stdout=program_side, stderr=program_side
    )
    os.close(program_side)
    shown = bytearray()
    with contextlib.suppress(OSError):  # the end of a terminal
        while read := os.read(terminal, 4096):
            shown += read
    os.close(terminal)
    assert process.wait(timeout=60) == 0, shown
    assert b"40 (40 ok)" in shown
    assert b"Error" not in shown
    if seconds:
        assert re.search(rb"[1-3]0 of 40 rows .* rows/s .* 0 failed rows", shown)


def test_progress_as_json(jaxbatch):
    assert jaxbatch("init", ".").returncode == 0
    ended = jaxbatch("run", "job.toml", "--progress", "json", "--quiet")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [list(line) for line in lines] == [["progress"] if "progress" in line else ["log"] for line in lines]
    progress = [line["progress"] for line in lines if "progress" in line]
    assert progress[0]["parts_done"] == 0
    assert progress[-1]["parts_done"] == progress[-1]["parts"] == 1
    assert progress[-1]["rows_done"] == progress[-1]["rows"] == 1000


FLAKY = """
from datetime import datetime
from pathlib import Path
from jaxbatch import Column, Kernel

class Flaky(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)

    def bucket(self, columns):
        tries = Path(__file__).parent / "tries"
        tries.write_text(tries.read_text() + "." if tries.exists() else ".")
        if columns["x"][0] == 10 or len(tries.read_text()) == 1:
            raise OSError("the weather")
        return 0

    def row(self, x):
        return {"y": x + 1}
"""


FLAKY_JOB = """
kernel = "flaky.py:Flaky"
[input]
path = "tasks.parquet"
[output]
path = "results"
rows_per_part = 10
"""


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_json_log_names_the_run_and_the_part(engine, jaxbatch, tmp_path):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "job.toml").write_text(FLAKY_JOB)
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    ended = jaxbatch("run", "job.toml", "--engine", engine, "--workers", 1, "--progress", "json", "--json", "--quiet")
    assert ended.returncode == 1, ended.stderr
    summary = json.loads(ended.stdout)
    log = [json.loads(line)["log"] for line in ended.stderr.splitlines() if line.startswith('{"log"')]
    log = [event for event in log if "Still waiting for a worker" not in event["message"]]  # on a busy machine
    assert {event["run"] for event in log} == {summary["fingerprint"][:8]}
    assert all(datetime.fromisoformat(event["time"]).tzinfo for event in log)
    failed = [event for event in log if event["level"] == "error"]
    assert [event["part"] for event in failed] == [1]
    assert "the weather" in failed[0]["message"]
    assert ":" in failed[0]["worker"]
    again = [event["part"] for event in log if event["level"] == "warning"]
    assert again.count(1) == 2
    assert log[-1]["message"].startswith("Exit code 1")


def test_failures_are_printed_once_for_a_person(jaxbatch, tmp_path):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "job.toml").write_text(FLAKY_JOB)
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    ended = jaxbatch("run", "job.toml", "--quiet")
    assert (ended.returncode, ended.stderr.count("the weather")) == (1, 1)
