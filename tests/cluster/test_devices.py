"""GPUs that nodes have, bring later, or only seem to have: on a cluster where they are counted and no more."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cluster.conftest import RayCluster

pytestmark = pytest.mark.cluster

PRETEND = """
import sys

if any(each.endswith("default_worker.py") for each in sys.orig_argv):
    import os

    import jax

    from jaxbatch.compilation import devices
    from jaxbatch.execution import tracing

    def local(platform=None):
        if os.environ.get("CUDA_VISIBLE_DEVICES") == "1":
            raise devices.NoDevice("none")
        return jax.local_devices(backend="cpu")

    devices.local = local
    devices.described = tracing.described = lambda device: devices.Device("pretended", "gpu", {"platform": "none"})
"""
"""Has the CPU pass for GPU 0 in the workers of a node that starts with it, and its GPU 1 be broken."""

JOB = """
kernel = "derivatives"
params.function = "jax.numpy:sin"
input.path = "tasks.parquet"
output.path = "results"
output.rows_per_part = 10
compute.device = "gpu"
"""


@pytest.fixture
def growing():
    """A head without GPUs, for which nodes may come."""
    with tempfile.TemporaryDirectory(prefix="jb-", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(folder, cpus=1)
        try:
            yield cluster
        finally:
            cluster.close()


def start(cluster: RayCluster, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--address", cluster.gcs]
    return subprocess.Popen(command, cwd=folder, env=cluster.environment, stderr=subprocess.PIPE, text=True)


def test_a_gpu_is_waited_for_asked_of_every_node_and_never_replaced(growing, tmp_path):
    pq.write_table(pa.table({"x": np.arange(60.0)}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(JOB)
    (tmp_path / "sitecustomize.py").write_text(PRETEND)
    running = start(growing, tmp_path)
    assert running.stderr is not None
    said = running.stderr.readline()
    assert said.startswith("Still waiting for a worker: each needs 1 CPU and 1 GPU"), said
    assert not (tmp_path / "results").exists()
    growing.add(gpus=2)
    _, said = running.communicate(timeout=200)
    assert running.returncode == 4, said
    assert "Ray gave this worker GPU 0 of " in said
    assert "but JAX finds none: install jaxbatch[cuda] there and check the driver" in said
    growing.add(cpus=2, gpus=2, PYTHONPATH=str(tmp_path))
    until = time.monotonic() + 200
    while True:  # the node must be known before the other has been asked
        running = start(growing, tmp_path)
        _, said = running.communicate(timeout=200)
        if running.returncode == 0 or time.monotonic() > until:
            break
    assert running.returncode == 0, said
    assert pq.read_table(tmp_path / "results/data").num_rows == 60
    recorded = json.loads((tmp_path / "results/_jaxbatch/plan.json").read_text())["identity"]
    assert (recorded["device"], recorded["accelerator"]) == ("pretended", {"platform": "none"})
    report = json.loads((tmp_path / "results/_jaxbatch/report.json").read_text())
    assert len(report["by_worker"]) == 1, "only the GPU that is one has computed"
