"""Engines change when work happens, never what is written: the same bytes, one suite for both."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, plan
from jaxbatch.cli import job_templates
from jaxbatch.execution import single_run
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess

COUNTING = Path(__file__).parents[1] / "counting.py"
ENGINES = {"local": ("--engine", "local"), "ray": ("--engine", "ray", "--workers", "2")}


def digests(output: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((output / "data").iterdir())}


QUICK = {"derivatives", "taylor"}
"""Regressions take long to compile."""


@pytest.mark.parametrize(
    "kernel", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in job_templates.TEMPLATES]
)
def test_same_bytes_on_every_engine(kernel, tmp_path, jaxbatch_json):
    job_templates.write(kernel, tmp_path)
    written = {}
    for name, options in {
        "local": ENGINES["local"],
        "ray with one worker": ("--engine", "ray", "--workers", "1"),
        "ray with two workers": ENGINES["ray"],
    }.items():
        out = f"output.path='results/{name}'"
        summary = jaxbatch_json("run", "job.toml", *options, "--set", out, "--set", "output.rows_per_part=40")
        assert summary["exit_code"] == 0, summary
        assert summary["parts_done"] == summary["parts"]
        written[name] = digests(Path(summary["output"]))
        check_times(json.loads(Path(summary["output"], "_jaxbatch/report.json").read_text()))
    assert written["local"] == written["ray with one worker"] == written["ray with two workers"]
    assert len(written["local"]) > 0


def check_times(report: dict[str, Any]) -> None:
    """Every second of a stage is some worker's, and the stage that took the most is named."""
    workers = report["by_worker"].values()
    assert sum(worker["shards"] for worker in workers) > 0
    for stage, spent in report["stages"].items():
        assert sum(worker["stages"].get(stage, 0) for worker in workers) == pytest.approx(spent, abs=0.01)
    spent = {**report["stages"], "wait": report["wait"]}
    assert {"read", "decode", "transfer", "compute", "encode", "publish"} <= set(spent)
    assert spent[report["bound_by"]] == max(spent.values())


@pytest.fixture
def counted(tmp_path):
    """A job of 20 parts by a kernel that counts the rows it is given."""
    shutil.copy(COUNTING, tmp_path)
    pq.write_table(pa.table({"x": np.arange(2000.0)}), tmp_path / "tasks.parquet", row_group_size=100)
    (tmp_path / "job.toml").write_text(
        'kernel = "counting.py:Counting"\n[params]\nseconds = 0.2\n[input]\npath = "tasks.parquet"\n'
        '[output]\npath = "results"\nrows_per_part = 100\n'
    )
    return tmp_path


def rows_counted(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_killed_run_finishes_with_the_same_bytes_and_redoes_no_published_part(engine, counted, jaxbatch_json):
    undisturbed = jaxbatch_json("run", "job.toml", "--engine", "local", "--set", "output.path='undisturbed'")
    published = counted / "results" / "data"
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--quiet", *ENGINES[engine]]
    process = subprocess.Popen(command, cwd=counted, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (published.is_dir() and len(list(published.iterdir())) >= 4):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3 if engine == "ray" else 0)  # a dead driver's workers may write for a while yet

    before = {int(part.name[5:12]) for part in published.iterdir()}
    assert 0 < len(before) < 20
    assert not (counted / "results" / "_SUCCESS").exists()
    log = counted / "rows.log"
    resumed = jaxbatch_json("run", "job.toml", *ENGINES[engine], env={**os.environ, "COUNTING_LOG": str(log)})
    assert resumed["exit_code"] == 0, resumed
    assert (resumed["parts_skipped"], resumed["parts_done"]) == (len(before), 20 - len(before))
    missing = [row for part in range(20) if part not in before for row in range(part * 100, part * 100 + 100)]
    assert sorted(rows_counted(log)) == missing
    assert digests(counted / "results") == digests(Path(undisturbed["output"]))
    assert (counted / "results" / "_SUCCESS").exists()


def test_a_finished_run_says_so_and_does_nothing(counted, jaxbatch_json):
    jaxbatch_json("run", "job.toml", "--set", "params.seconds=0.0")
    before = {path: path.stat().st_mtime_ns for path in (counted / "results").rglob("*") if path.is_file()}
    again = jaxbatch_json("run", "job.toml", "--set", "params.seconds=0.0")
    assert (again["exit_code"], again["parts_skipped"], again["parts_done"]) == (0, 20, 0)
    assert before == {path: path.stat().st_mtime_ns for path in (counted / "results").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("engine", "number"),
    [
        ("local", signal.SIGINT),
        ("local", signal.SIGTERM),
        ("ray", signal.SIGTERM),
        pytest.param("ray", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_and_leaves_it_resumable(engine, number, counted, jaxbatch_json):
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--quiet", *ENGINES[engine]]
    process = subprocess.Popen(command, cwd=counted, stderr=subprocess.PIPE, text=True)
    published = counted / "results" / "data"
    while not (published.is_dir() and list(published.iterdir())):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "run the same command again" in said
    assert jaxbatch_json("run", "job.toml")["exit_code"] == 0


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_hanging_part_is_abandoned_at_its_deadline_and_the_rest_finishes(engine, counted, jaxbatch_json):
    (counted / "hang.py").write_text(
        "import time\nfrom counting import Counting as Base\n\n"
        "class Hang(Base):\n"
        "    def bucket(self, columns):\n"
        "        time.sleep(600 if columns['x'][0] == 500 else 0)\n"
        "        return 0\n"
    )
    options = ("--set", "kernel='hang.py:Hang'", "--set", "cluster.part_timeout_s=4", *ENGINES[engine])
    summary = jaxbatch_json("run", "job.toml", *options)
    assert (summary["exit_code"], summary["parts_failed"], summary["parts_done"]) == (1, 1, 19)
    errors = (counted / "results" / "_jaxbatch" / "errors.jsonl").read_text()
    assert '"part": 5' in errors
    assert "took more than 4 s" in errors


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_failing_part_is_retried_then_recorded_and_the_rest_finishes(engine, counted, jaxbatch_json):
    (counted / "fail.py").write_text(
        "from pathlib import Path\nfrom counting import Counting as Base\n\n"
        "class Fail(Base):\n"
        "    def bucket(self, columns):\n"
        "        if columns['x'][0] == 500:\n"
        "            with (Path(__file__).parent / 'attempts').open('a') as file:\n"
        "                file.write('x')\n"
        "            raise RuntimeError('part five does not like it')\n"
        "        return 0\n"
    )
    summary = jaxbatch_json("run", "job.toml", "--set", "kernel='fail.py:Fail'", *ENGINES[engine])
    assert (summary["exit_code"], summary["parts_failed"], summary["parts_done"]) == (1, 1, 19)
    assert (counted / "attempts").read_text() == "xxx"
    assert "part five does not like it" in (counted / "results" / "_jaxbatch" / "errors.jsonl").read_text()
    assert not (counted / "results" / "_SUCCESS").exists()


def test_a_dead_ray_worker_costs_its_parts_nothing(counted, jaxbatch_json):
    (counted / "suicide.py").write_text(
        "import os, signal\nfrom pathlib import Path\nfrom counting import Counting as Base\n\n"
        "class Suicide(Base):\n"
        "    def bucket(self, columns):\n"
        "        flag = Path(__file__).parent / 'died'\n"
        "        if columns['x'][0] == 700 and not flag.exists():\n"
        "            flag.touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return 0\n"
    )
    summary = jaxbatch_json("run", "job.toml", "--set", "kernel='suicide.py:Suicide'", *ENGINES["ray"])
    assert (counted / "died").exists()
    assert (summary["exit_code"], summary["parts_done"], summary["rows"]) == (0, 20, 2000)


def test_a_part_that_kills_its_worker_is_pinned_and_the_rest_finishes(counted, jaxbatch_json):
    (counted / "poison.py").write_text(
        "import os\nfrom counting import Counting as Base\n\n"
        "class Poison(Base):\n"
        "    def bucket(self, columns):\n"
        "        if columns['x'][0] == 700:\n"
        "            os._exit(1)\n"
        "        return super().bucket(columns)\n"
    )
    options = ("--set", "kernel='poison.py:Poison'", "--set", "cluster.attempts=1", *ENGINES["ray"])
    summary = jaxbatch_json("run", "job.toml", *options)
    assert (summary["exit_code"], summary["parts_failed"], summary["parts_done"]) == (1, 1, 19)
    assert summary["failures"][0].startswith("part 7: its worker died")


def test_an_own_kernel_in_a_file_runs_on_both_engines(tmp_path, jaxbatch_json):
    jobs = Path(__file__).parents[2] / "jobs"
    source = (jobs / "own_kernel.py").read_text()
    assert len(source.splitlines()) <= 30
    (tmp_path / "own_kernel.py").write_text(source)
    shutil.copy(jobs / "own-kernel.toml", tmp_path)
    principal, rate = np.array([1000.0, 1000.0, 5.0]), np.array([0.01, 0.0, -2.0])
    (tmp_path / "tasks").mkdir()
    pq.write_table(pa.table({"principal": principal, "rate": rate}), tmp_path / "tasks" / "loans.parquet")
    outputs = {}
    for name, options in ENGINES.items():
        summary = jaxbatch_json(
            "run", "own-kernel.toml", "--set", f"output.path='{name}'", "--set", "limits.max_failed_rows=1", *options
        )
        assert summary["exit_code"] == 0, summary
        outputs[name] = pq.read_table(tmp_path / name / "data").to_pylist()
    assert outputs["local"] == outputs["ray"]
    first, free, wrong = outputs["local"]
    assert first["payment"] == pytest.approx(1000 * 0.01 / (1 - 1.01**-120), rel=1e-12)
    assert free["payment"] == pytest.approx(1000 / 120, rel=1e-12)
    assert (wrong["payment"], wrong["status"]) == (None, "invalid_input")


def test_many_shards_of_lapack_at_once_do_not_wait_for_each_other_for_ever(tmp_path, jaxbatch_json):
    """jaxlib's batched LAPACK calls block threads of the pool that they need: eight at once never ended."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8192, 16, 4)).tolist(), rng.normal(size=(8192, 16)).tolist()
    pq.write_table(pa.table({"X": X, "y": y}), tmp_path / "tasks.parquet", row_group_size=256)
    (tmp_path / "job.toml").write_text(
        'kernel = "regression"\n[params]\nmethod = "cholesky"\n[input]\npath = "tasks.parquet"\n'
        '[output]\npath = "results"\nrows_per_part = 256\n[compute]\nbatch_rows = 256\n'
    )
    summary = jaxbatch_json("run", "job.toml", "--workers", "16")
    assert (summary["exit_code"], summary["parts_done"]) == (0, 32)


def test_a_node_without_the_job_s_folder_takes_the_copy_in_which_it_starts(tmp_path, monkeypatch):
    """Ray unpacks what a job brings along on every node, and not everywhere at the same path."""
    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "tasks.parquet")
    head, node = tmp_path / "head", tmp_path / "node"
    head.mkdir()
    (head / "own.py").write_text("def f(x):\n    return 3 * x\n")
    (head / "job.toml").write_text(
        'kernel = "derivatives"\n[params]\nfunction = "own.py:f"\n'
        '[input]\npath = "tasks.parquet"\n[output]\npath = "results"\n'
    )
    planned = pickle.loads(pickle.dumps(plan(Job.load(head / "job.toml", paths_from=tmp_path))))
    head.rename(node)
    monkeypatch.chdir(node)
    output = single_run.open_output(planned)
    output.claim.write(single_run.claim_record(planned))
    result = run_shard(WorkerProcess(planned.here()), planned.first.shards[0], [0])
    assert not result.failures
    assert pq.read_table(tmp_path / "results/data")["value"].to_pylist() == [3.0, 6.0]
