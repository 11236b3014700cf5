"""The long layout's two stages: statistics of each part, then their merge; killed, damaged and continued between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.execution import single_run
from jaxbatch.execution.progress import Progress
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.planning import planner
from tests.kernels import regression_cases as nested
from tests.kernels.long_cases import INPUT, digests, groups_of, job, observations, spread


def test_terms_are_named_and_partials_not_left(bench):
    spread(bench, observations())
    table = bench.output(bench.run(job(group_by=["site"]) + INPUT, "output.rows_per_part=60"))
    assert table.schema.field("coefficients").metadata == {b"terms": b"intercept,a,b"}
    assert table.schema.field("site").type == pa.string()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_killed_run_keeps_its_statistics(bench, engine, jaxbatch_json):
    table = observations(groups=50, rows=20_000)
    spread(bench, table, files=40, row_group_size=500)
    bench.job(job(group_by=["site"]) + INPUT)
    options = ("--set", "output.rows_per_part=500", "--engine", engine, "--workers", "1")
    undisturbed = jaxbatch_json("run", "job.toml", *options[:2], "--set", "output.path='undisturbed'")
    partials = bench.folder / "results" / "_jaxbatch" / "partials"
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--quiet", *options]
    process = subprocess.Popen(command, cwd=bench.folder, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (partials.is_dir() and len(list(partials.iterdir())) >= 3):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3 if engine == "ray" else 0)  # a dead driver's workers may write for a while yet

    left = len(list(partials.iterdir()))
    assert 0 < left < 40, "killed too late"
    seen: list[Progress] = []
    summary = bench.run(job(group_by=["site"]) + INPUT, "output.rows_per_part=500", progress=seen.append)
    assert summary.exit_code == 0
    skipped = [progress.rows_skipped for progress in seen if progress.rows_skipped]
    assert skipped[0] == left * 500
    assert digests(summary.output) == digests(undisturbed["output"])


@pytest.mark.slow
def test_groups_that_lie_apart_need_one_stage(bench):
    table = observations().sort_by("site")
    values = np.array(table["site"].to_pylist())
    for number, site in enumerate(np.unique(values)):
        bench.tasks(table.filter(pa.array(values == site)), f"tasks/{number}.parquet")
    text = job(group_by=["site"]) + INPUT
    planned = planner.plan(bench.job(text, "job.toml", "output.rows_per_part=100"))
    assert planned.first.name == "groups"
    assert planned.final.parts > 1
    summary = bench.run(text, "output.rows_per_part=100")
    expected = groups_of(table, ["site"])
    for row in bench.output(summary).to_pylist():
        nested.check(row, *expected[(row["site"],)])
    spread(bench, observations())
    assert planner.plan(bench.job(text, "job.toml", "output.rows_per_part=60")).first.name == "partials"


def test_plan_and_manifest_know_both_stages(bench, jaxbatch_json):
    spread(bench, observations())
    bench.job(job(group_by=["site"]) + INPUT)
    planned = jaxbatch_json("plan", "job.toml", "--set", "output.rows_per_part=60")
    assert (planned["partials"], planned["parts"]) == (9, 7)
    summary = bench.run(job(group_by=["site"]) + INPUT, "output.rows_per_part=60")
    manifest = json.loads((Path(summary.output) / "_jaxbatch" / "manifest.json").read_text())
    assert manifest["rows"] == 7
    there = jaxbatch_json("plan", "job.toml", "--set", "output.rows_per_part=60")
    assert (there["parts_skipped"], there["rows_skipped"]) == (7, there["rows"])
    assert jaxbatch_json("verify", "results").get("problems", []) == []


@pytest.fixture
def between_stages(bench):
    """A run whose first stage is done: its plan, its worker, and where its statistics lie."""
    spread(bench, observations())
    text = job(group_by=["site"]) + INPUT
    planned = planner.plan(bench.job(text, "job.toml", "output.rows_per_part=60"))
    single_run.open_output(planned).claim.write(single_run.claim_record(planned))
    worker = WorkerProcess(planned)
    for shard in planned.first.shards:
        outcome = run_shard(worker, shard, [part.index for part in shard.parts], planned.first.name)
        assert not outcome.failures
    return text, planned, worker, Path(planned.output)


def test_a_damaged_statistic_is_named_removed_and_made_anew(bench, between_stages):
    text, planned, worker, output = between_stages
    damaged = sorted((output / "_jaxbatch" / "partials").iterdir())[0]
    content = bytearray(damaged.read_bytes())
    content[10:60] = bytes(50)
    damaged.write_bytes(content)
    final = planned.final
    failures = [
        failure for shard in final.shards for failure in run_shard(worker, shard, [shard.index], "merge").failures
    ]
    assert damaged.name in failures[0].reason
    assert not damaged.exists()
    summary = bench.run(text, "output.rows_per_part=60")
    assert (summary.exit_code, summary.rows) == (0, 7)


def test_a_statistic_that_cannot_be_reached_is_left_alone(between_stages, monkeypatch):
    _, planned, worker, output = between_stages

    def unreachable(*_):
        raise ConnectionError("the store does not answer")

    monkeypatch.setattr("jaxbatch.output.part_file.read_bucket", unreachable)
    shard = planned.final.shards[0]
    (failure,) = run_shard(worker, shard, [shard.index], "merge").failures
    assert "does not answer" in failure.reason
    assert len(list((output / "_jaxbatch" / "partials").iterdir())) == planned.first.parts


def test_a_driver_that_comes_late_finds_the_parts_that_are_there(bench, between_stages):
    text, planned, worker, _ = between_stages
    summary = bench.run(text, "output.rows_per_part=60")  # another driver, which finishes and seals
    before = digests(summary.output)
    for shard in planned.final.shards:
        outcome = run_shard(worker, shard, [shard.index], "merge")
        assert (outcome.failures, len(outcome.receipts)) == ([], 1)
    assert digests(summary.output) == before
