"""A cluster of three nodes that loses one, messages that are lost or late, and doors that are open or closed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.cluster import TOKEN, cluster

AUTHENTICATED = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


@pytest.fixture
def slow(site):
    """The job with parts that take a while."""
    (site.folder / "slow.py").write_text(
        "import time\nimport jax.numpy as jnp\nfrom jaxbatch import Column, Kernel\n\n"
        "class Slow(Kernel):\n    inputs = (Column('x'),)\n    outputs = (Column('y'),)\n\n"
        "    def bucket(self, columns):\n        time.sleep(0.7)\n        return 0\n\n"
        "    def row(self, x):\n        return {'y': jnp.sin(x)}\n"
    )
    job = site.folder / "job.toml"
    job.write_text(
        'kernel = "slow.py:Slow"\n[input]\npath = "tasks"\n[output]\npath = "results"\nrows_per_part = 100\n'
        '[compute]\ndevice = "cpu"\n'
    )
    assert site.process("--engine", "local", "--workers", "6", "--set", "output.path='peace'").returncode == 0
    (site.folder / "peace").rename(site.output)
    site.expected = site.digests()
    shutil.rmtree(site.output)
    return site


@pytest.mark.faults
def test_a_raylet_of_three_is_killed_and_the_run_goes_on(slow):
    with cluster(3, **AUTHENTICATED) as (address, kill):
        options = ("--address", address, "--workers", "3")
        environment = {**os.environ, **AUTHENTICATED}
        process = subprocess.Popen(slow.command(*options), cwd=slow.folder, env=environment)
        while not slow.digests():
            assert process.poll() is None
            time.sleep(0.02)
        kill(0)
        assert process.wait(timeout=200) == 0
    slow.check_finished()


@pytest.mark.faults
@pytest.mark.parametrize("lost", ["req_failure_prob", "resp_failure_prob", "in_flight_failure_prob"])
def test_calls_whose_request_or_reply_is_lost_double_nothing(lost, site):
    failure = {"num_failures": 4, "req_failure_prob": 0, "resp_failure_prob": 0, "in_flight_failure_prob": 0, lost: 50}
    chaos = json.dumps({"CoreWorkerService.grpc_client.PushTask": failure})
    ended = site.process("--engine", "ray", "--workers", "2", RAY_testing_rpc_failure=chaos)
    assert ended.returncode in (0, 1), ended.stderr
    site.check_readable()
    assert site.process("--engine", "ray", "--workers", "2").returncode == 0
    site.check_finished()


@pytest.mark.faults
def test_messages_that_are_late_change_nothing(site):
    late = {"RAY_testing_asio_delay_us": "*=10:200"}
    ended = site.process("--engine", "ray", "--workers", "2", **late)
    for _ in range(4):
        if (site.output / "_jaxbatch/plan.json").exists():
            break
        ended = site.process(
            "--engine", "ray", "--workers", "2", **late
        )  # one time in five Ray itself does not come up
    assert ended.returncode == 0, ended.stderr
    site.check_finished()


def test_an_open_cluster_is_refused(site):
    """Anyone who reaches it can run code on it; and what we send to it."""
    installed = [Path(sys.executable).with_name("jaxbatch"), "run", "job.toml"]  # python -m imports from here by itself
    with cluster(1, RAY_AUTH_MODE="disabled") as (address, _):
        without = site.process("--address", address, HOME=str(site.folder))
        imported = site.folder / "imported"
        (site.folder / "ray.py").write_text(f"open({str(imported)!r}, 'w').write('with the token in the environment')")
        with_one = subprocess.run(
            [*installed, "--address", address],
            cwd=site.folder,
            env={**os.environ, **AUTHENTICATED},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not imported.exists()
        (site.folder / "ray.py").unlink()
        allowed = site.process("--address", address, "--allow-unauthenticated", RAY_AUTH_MODE="disabled")
    assert without.returncode == 5, without.stderr
    assert "you have no token for it" in without.stderr
    assert with_one.returncode == 5, with_one.stderr
    assert "it does not require a token" in with_one.stderr
    assert "--allow-unauthenticated" in with_one.stderr
    assert allowed.returncode == 0, allowed.stderr
    site.check_finished()


@pytest.mark.faults
def test_a_clusters_token_is_asked_for_and_its_file_must_be_private(site):
    file = site.folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    named = {"RAY_AUTH_TOKEN_PATH": str(file)}
    with cluster(1, **AUTHENTICATED) as (address, _):
        shown = site.process("--address", address, **named)
        wrong = site.process("--address", address, RAY_AUTH_TOKEN="f" * 64)
        file.chmod(0o600)
        right = site.process("--address", address, **named)
    assert shown.returncode == 5, shown.stderr
    assert f"chmod 600 {file}" in shown.stderr
    assert wrong.returncode == 5, wrong.stderr
    assert right.returncode == 0, right.stderr
    site.check_finished()
