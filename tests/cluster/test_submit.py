"""Runs as jobs of a cluster: what comes out, who may, and what a connection that breaks changes: nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.errors import ExitCode

pytestmark = pytest.mark.cluster

KERNELS = ("derivatives", "taylor", "regression", "apply")

SLOW = """
import time
import jax.numpy as jnp
from helper import offset
from jaxbatch import Column, Kernel

class Slow(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)

    def bucket(self, columns):
        time.sleep(SECONDS)
        return 0

    def row(self, x):
        return {"y": jnp.sin(x) + offset}
"""

JOB = """
kernel = "slow.py:Slow"
[input]
path = "tasks"
[output]
path = "results"
rows_per_part = 10
[compute]
device = "cpu"
"""


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def slow_job(folder: Path, seconds: float, rows: int, name: str = "slow") -> Path:
    """A job of parts of 10 rows that take so long each, with a helper beside it."""
    (folder / "tasks").mkdir(exist_ok=True)
    pq.write_table(pa.table({"x": np.arange(float(rows))}), folder / "tasks" / "x.parquet", row_group_size=10)
    (folder / "slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))
    (folder / "helper.py").write_text("offset = 2.0\n")
    job = folder / f"{name}.toml"
    job.write_text(JOB)
    return job


@pytest.fixture
def started(submitter, tmp_path):
    """A job that is at work, its id, and that nothing of it is left at the end."""
    ids = []

    def start(seconds: float = 0.5, rows: int = 400, *options: object) -> str:
        slow_job(tmp_path, seconds, rows, f"slow-{tmp_path.name[-12:]}")
        (job,) = tmp_path.glob("slow-*.toml")
        ended = submitter("submit", job.name, "--no-wait", *options)
        assert ended.returncode == 0, ended.stderr
        ids.append(ended.stdout.strip())
        until = time.monotonic() + 120
        while not list(tmp_path.glob("results/data/*.parquet")):
            assert time.monotonic() < until, submitter("logs", ids[-1]).stdout
            time.sleep(0.1)
        return ids[-1]

    yield start
    for each in ids:
        submitter("cancel", each)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_bytes_are_those_of_a_run_here(kernel, submitter, jaxbatch, tmp_path):
    assert jaxbatch("init", "job", "--kernel", kernel).returncode == 0
    (job,) = (tmp_path / "job").glob("*.toml")
    cpu = ("--set", 'compute.device="cpu"')
    here = jaxbatch("run", job, "--engine", "local", *cpu, "--set", f"output.path='{tmp_path}/here'")
    assert here.returncode == 0, here.stderr
    there = submitter("submit", job, "--json", *cpu, "--set", f"output.path='{tmp_path}/there'")
    assert there.returncode == 0, there.stderr
    said = json.loads(there.stdout)
    assert (said["status"], said["exit_code"]) == ("SUCCEEDED", 0)
    assert said["output"] == f"{tmp_path}/there"
    assert parts(tmp_path / "there") == parts(tmp_path / "here")


def test_what_would_be_sent(submitter, tmp_path):
    job = slow_job(tmp_path, 0, 20)
    (tmp_path / "notes.txt").write_text("not needed\n")
    (tmp_path / ".secret").write_text("not for others\n")
    (tmp_path / ".jaxbatchignore").write_text("# big\n*.txt\n")
    ended = submitter("submit", job.name, "--dry-run", "--var", "a=b c", "--limit", "7")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["files"] == ["helper.py", "slow.py", "slow.toml"]
    assert said["id"].startswith("slow-")
    assert said["entrypoint"].startswith(f"jaxbatch run slow.toml --var 'a=b c' --paths-from {tmp_path} --limit 7 ")


def test_submitted_twice_it_runs_once_and_after_its_end_again(submitter, started, tmp_path):
    first = started(0.6, 800)
    (job,) = tmp_path.glob("slow-*.toml")
    again = submitter("submit", job.name, "--json")
    assert again.returncode == 0, again.stderr
    assert f"Joined {first}" in again.stderr
    said = json.loads(again.stdout)
    assert (said["id"], said["rows"], said["parts_skipped"]) == (first, 800, 0)
    third = submitter("submit", job.name, "--json")
    assert third.returncode == 0, third.stderr
    said = json.loads(third.stdout)
    assert (said["id"], said["parts_done"], said["parts_skipped"]) == (f"{first}-2", 0, 80)


def test_a_client_that_is_killed_is_not_missed(submitter, ray_cluster, jaxbatch, tmp_path):
    job = slow_job(tmp_path, 0.3, 200, "unattended")
    command = [sys.executable, "-m", "jaxbatch", "submit", job.name, "--address", ray_cluster.url]
    client = subprocess.Popen(command, cwd=tmp_path, env=ray_cluster.environment, stderr=subprocess.PIPE, text=True)
    assert client.stderr is not None
    identity = client.stderr.readline().split()[1].rstrip(",")
    while not list(tmp_path.glob("results/data/*.parquet")):
        time.sleep(0.1)
    client.kill()
    client.communicate()
    followed = submitter("logs", identity, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert (tmp_path / "results/_SUCCESS").exists()
    assert submitter("status", identity).stdout == "SUCCEEDED\n"
    assert '"progress"' in submitter("logs", identity).stdout
    assert jaxbatch("verify", "results").returncode == 0


def test_an_interrupt_leaves_the_job_and_says_how_to_come_back(ray_cluster, submitter, started, tmp_path):
    identity = started(0.3, 3000)
    command = [sys.executable, "-m", "jaxbatch", "logs", identity, "--follow", "--address", ray_cluster.url]
    client = subprocess.Popen(command, cwd=tmp_path, env=ray_cluster.environment, stderr=subprocess.PIPE, text=True)
    assert client.stderr is not None
    assert client.stderr.readline(), "it follows"
    client.send_signal(signal.SIGTERM)
    _, said = client.communicate(timeout=60)
    assert client.returncode == ExitCode.TERMINATED, said
    assert f"{identity} keeps running" in said
    assert f"jaxbatch logs {identity} --follow" in said
    assert submitter("status", identity).stdout == "RUNNING\n"


def test_what_was_cancelled_can_be_finished(submitter, started, jaxbatch, tmp_path):
    identity = started(0.3, 600)
    cancelled = submitter("cancel", identity)
    assert (cancelled.returncode, cancelled.stdout) == (0, "STOPPED\n"), cancelled.stderr
    status = submitter("status", identity, "--json")
    assert status.returncode == ExitCode.TERMINATED
    assert json.loads(status.stdout)["status"] == "STOPPED"
    there = parts(tmp_path / "results")
    assert 0 < len(there) < 60
    assert not (tmp_path / "results/_SUCCESS").exists()
    (job,) = tmp_path.glob("slow-*.toml")
    finished = jaxbatch("run", job.name, "--workers", "8")
    assert finished.returncode == 0, finished.stderr
    assert parts(tmp_path / "results").items() > there.items()
    assert jaxbatch("verify", "results").returncode == 0


@pytest.mark.parametrize(
    ("job", "code", "reason"),
    [
        ('kernel = "apply"\n[params]\nfunction = "jax.numpy:sine"\n', ExitCode.REFUSED, "no 'sine'"),
        ('kernel = "failing.py:Failing"\n', ExitCode.PARTS_FAILED, "no luck"),
        ('kernel = "apply"\n[params]\nfunction = "jax.numpy:log"\n', ExitCode.TOO_MANY_FAILED_ROWS, "rows failed"),
    ],
)
def test_exit_codes_are_those_of_the_run(job, code, reason, submitter, tmp_path):
    (tmp_path / "failing.py").write_text(
        "from jaxbatch import Column, Kernel\n\nclass Failing(Kernel):\n    inputs = (Column('x'),)\n"
        "    outputs = (Column('y'),)\n\n    def bucket(self, columns):\n        raise ValueError('no luck')\n\n"
        "    def row(self, x):\n        return {'y': x}\n"
    )
    pq.write_table(pa.table({"x": [0.0, 1.0]}), tmp_path / "x.parquet")
    where = (
        '[input]\npath = "x.parquet"\n[output]\npath = "results"\n[compute]\ndevice = "cpu"\n[cluster]\nattempts = 1\n'
    )
    (tmp_path / "bad.toml").write_text(job + where)
    ended = submitter("submit", "bad.toml", "--json", "--id", f"bad-{tmp_path.name}")
    assert ended.returncode == code, ended.stderr
    assert reason in ended.stderr
    assert json.loads(ended.stdout)["exit_code"] == code
    assert submitter("status", f"bad-{tmp_path.name}").returncode == code


def test_who_has_no_token_or_another_is_refused_in_a_line_or_two(submitter, tmp_path):
    job = slow_job(tmp_path, 0, 20)
    for token, reason in (("f" * 64, "rejected your token"), ("", "no token")):
        home = {"RAY_AUTH_TOKEN": token, "HOME": str(tmp_path / "home")}
        for command in (["submit", job.name], ["status", "x"], ["logs", "x"], ["cancel", "x"]):
            ended = submitter(*command, env=home)
            assert ended.returncode == ExitCode.OUTPUT, ended.stderr
            assert reason in ended.stderr
            assert len(ended.stderr.splitlines()) <= 3, ended.stderr


def test_no_such_job_and_no_such_cluster(submitter, jaxbatch):
    unknown = submitter("status", "nobody")
    assert (unknown.returncode, "no job 'nobody'" in unknown.stderr) == (ExitCode.USAGE, True), unknown.stderr
    nowhere = jaxbatch("status", "x", "--address", "http://127.0.0.1:9", env={**os.environ, "RAY_AUTH_TOKEN": "f" * 64})
    assert nowhere.returncode == ExitCode.UNREACHABLE
    assert "cannot be reached" in nowhere.stderr
    other = jaxbatch("status", "x", "--address", "127.0.0.1:6379")
    assert (other.returncode, "http://HOST:8265" in other.stderr) == (ExitCode.USAGE, True)
