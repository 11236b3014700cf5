"""What a cluster's own monitoring sees of a run."""

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import RayCluster, free_port
from tests.cluster.test_submit import slow_job

pytestmark = pytest.mark.cluster

_SAMPLE = re.compile(r"^ray_jaxbatch_(?P<name>\w+)\{(?P<tags>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@pytest.fixture
def monitored() -> Iterator[tuple[RayCluster, int]]:
    """A cluster of one node, and the port where its counts are to be had."""
    with tempfile.TemporaryDirectory(prefix="jb-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        monitoring: dict[str, Any] = {"RAY_enable_metrics_collection": "1", "RAY_metrics_report_interval_ms": "500"}
        cluster = RayCluster(folder, cpus=2, options=[f"--metrics-export-port={port}"], **monitoring)
        try:
            yield cluster, port
        finally:
            cluster.close()


def samples(port: int) -> dict[tuple[str, str], float]:
    """Our counts, by name and by the tag that divides them."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:  # the node's agent comes up after the node
        return {}
    found = {}
    for sample in _SAMPLE.finditer(text):
        tags = dict(re.findall(r'(\w+)="([^"]*)"', sample["tags"]))
        assert tags["job_name"] == "watched"
        divided = next((tags[name] for name in ("status", "outcome", "stage") if name in tags), "")
        found[sample["name"], divided] = float(sample["value"])
    return found


def test_rows_parts_and_times_are_counted(monitored, tmp_path):
    cluster, port = monitored
    job = slow_job(tmp_path, 0.1, 300, "watched")
    command = [sys.executable, "-m", "jaxbatch", "run", job.name, "--address", cluster.gcs, "--quiet"]
    running = subprocess.Popen(command, cwd=tmp_path, env=cluster.environment)
    seen: dict[tuple[str, str], float] = {}
    while running.poll() is None:
        time.sleep(0.2)
        seen |= samples(port)
    assert running.returncode == 0
    time.sleep(2)
    seen |= samples(port)
    totals = {(name.removesuffix("_total"), tag): value for (name, tag), value in seen.items()}
    assert totals["rows", "ok"] == 300
    assert totals["parts", "written"] == 30
    assert totals["stage_seconds", "encode"] > 0
