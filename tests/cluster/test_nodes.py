"""Nodes that go and come while a submitted job is at work."""

import json
import time

import pyarrow.parquet as pq
import pytest

from tests.cluster.test_submit import slow_job

pytestmark = pytest.mark.cluster


def wait_for_parts(folder, count: int) -> None:
    until = time.monotonic() + 200
    while len(list(folder.glob("data/*.parquet"))) < count:
        assert time.monotonic() < until
        time.sleep(0.1)


def rows(output) -> list[dict]:
    return pq.read_table(output / "data").to_pylist()


def test_a_node_that_goes_half_way_costs_nothing_but_time(ray_cluster, submitter, jaxbatch, tmp_path):
    job = slow_job(tmp_path, 0.0, 600, "moving")
    assert jaxbatch("run", job.name, "--set", "output.path='here'").returncode == 0
    node = ray_cluster.add(cpus=2)
    job = slow_job(tmp_path, 0.4, 600, "moving")
    identity = submitter("submit", job.name, "--no-wait", "--workers", "6").stdout.strip()
    wait_for_parts(tmp_path / "results", 5)
    ray_cluster.kill(node)
    followed = submitter("logs", identity, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert jaxbatch("verify", "results").returncode == 0
    assert rows(tmp_path / "results") == rows(tmp_path / "here")


def test_a_node_that_comes_half_way_gets_work(ray_cluster, submitter, tmp_path):
    job = slow_job(tmp_path, 0.6, 4000, "growing")
    identity = submitter("submit", job.name, "--no-wait").stdout.strip()
    wait_for_parts(tmp_path / "results", 3)
    node = ray_cluster.add(cpus=2)
    followed = submitter("logs", identity, "--follow")
    assert followed.returncode == 0, followed.stderr
    report = json.loads((tmp_path / "results/_jaxbatch/report.json").read_text())
    ray_cluster.kill(node)
    assert report["workers"] > 4, "as many as there were places for at first"
    assert len(report["by_worker"]) > 4
