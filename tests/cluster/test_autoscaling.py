"""A cluster without a worker at first: a job's workers bring nodes, and with the job they go. Ray's own provider of
nodes that are processes on this machine."""

import tempfile
import time
from typing import Any

import pytest

from tests.cluster.conftest import RayCluster
from tests.cluster.test_submit import slow_job

pytestmark = pytest.mark.cluster

COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
FILES = ("cluster_synced_files", "rsync_exclude", "rsync_filter")

CONFIG: dict[str, Any] = {
    "cluster_name": "fake_multinode",
    "max_workers": 2,
    "upscaling_speed": 100.0,
    "idle_timeout_minutes": 0.1,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": 100_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "head_node_type": "ray.head.default",
    "auth": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    **{name: [] for name in (*(f"{each}_commands" for each in COMMANDS), *FILES)},
}


@pytest.fixture
def ray_cluster():
    """One that scales itself, in the place of the other tests' cluster."""
    with tempfile.TemporaryDirectory(prefix="jb-", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(folder, cpus=0, scaled=CONFIG, RAY_FAKE_CLUSTER="1", AUTOSCALER_UPDATE_INTERVAL_S="1")
        try:
            yield cluster
        finally:
            cluster.close()


def nodes(cluster: RayCluster) -> int:
    """Nodes that are alive, beside the head."""
    said = cluster.ask("/api/v0/nodes?detail=1")["data"]["result"]["result"]
    return sum(node["state"] == "ALIVE" for node in said) - 1


def wait_for(cluster: RayCluster, count: int) -> None:
    until = time.monotonic() + 200
    while nodes(cluster) != count:
        assert time.monotonic() < until, nodes(cluster)
        time.sleep(0.5)


def test_nodes_come_for_a_job_and_go_with_it(ray_cluster, submitter, tmp_path):
    wait_for(ray_cluster, 0)
    job = slow_job(tmp_path, 0.3, 600, "scaled")
    submit = ("submit", job.name, "--no-wait", "--workers", "2")
    until = time.monotonic() + 60
    while (submitted := submitter(*submit)).returncode == 75 and time.monotonic() < until:
        time.sleep(1)  # the head's agent, which starts jobs, comes up after its job server
    assert submitted.returncode == 0, submitted.stderr
    identity = submitted.stdout.strip()
    wait_for(ray_cluster, 2)
    followed = submitter("logs", identity, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert (tmp_path / "results/_SUCCESS").exists()
    wait_for(ray_cluster, 0)
