"""What computes: as the job says, never something else instead, and with nothing left in the process that asked."""

import json
import logging
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxbatch import plan
from jaxbatch.cli.progress import show_progress
from jaxbatch.cluster import resources
from jaxbatch.compilation import devices
from jaxbatch.compilation.devices import Device
from jaxbatch.errors import ClusterError, JobError
from jaxbatch.execution.worker import WorkerProcess
from tests.faults.cluster import TOKEN, cluster

JOB = 'kernel = "derivatives"\nparams.function = "functions.py:f"\n'
FUNCTIONS = """
import jax.numpy as jnp

WEIGHTS = jnp.array([1.0, 2.0, 3.0])


def f(x):
    return WEIGHTS @ x ** jnp.arange(3)
"""
X = np.array([0.5, 2.0, 3.0])
VALUES = [1 + 2 * x + 3 * x * x for x in X.tolist()]

no_gpu = pytest.mark.skipif(
    any(device.platform != "cpu" for device in jax.devices()), reason="there is what must be missing"
)


@pytest.fixture
def job(bench):
    """A job's text, with files for it."""
    bench.tasks({"x": X})
    bench.file("functions.py", FUNCTIONS)
    return JOB


@pytest.mark.parametrize(
    ("device", "gpus", "complaint"),
    [
        (None, None, ("key 'compute.device': is missing", 'Add device = "cpu" or device = "gpu" to [compute].')),
        (None, 1, ("key 'compute.device': is missing", 'Add device = "cpu" or device = "gpu" to [compute].')),
        ("cpu", 1, ("key 'cluster.gpus_per_worker': is 1", 'set device = "gpu"')),
        ("cpu", 0.25, ("key 'cluster.gpus_per_worker': is 0.25", 'set device = "gpu"')),
        ("tpu", 4, ("key 'cluster.gpus_per_worker': is 4", 'set device = "gpu"')),
        ("gpu", 0, ("key 'cluster.gpus_per_worker': is 0", 'set device = "cpu"')),
        ("gpu", 0.0, ("key 'cluster.gpus_per_worker': is 0", 'set device = "cpu"')),
    ],
)
@pytest.mark.parametrize("way", ["argument", "job", "variable"])
def test_a_cluster_is_told_what_computes_before_it_is_asked(device, gpus, complaint, way, job, bench, monkeypatch):
    """Nobody listens at that address."""
    written = [f"compute.device='{device}'"] if device else []
    written += [f"cluster.gpus_per_worker={gpus}"] if gpus is not None else []
    if way == "job":
        written.append("cluster.address='127.0.0.1:1'")
    if way == "variable":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(JobError) as refused:
        bench.run(job, *written, engine=None, address="127.0.0.1:1" if way == "argument" else None)
    assert "job.toml" in refused.value.what
    for part in complaint:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("device", "gpus", "needs"),
    [
        ("cpu", None, {"CPU": 2.0}),
        ("cpu", 0, {"CPU": 2.0}),
        ("gpu", None, {"CPU": 2.0, "GPU": 1.0}),
        ("gpu", 0.25, {"CPU": 2.0, "GPU": 0.25}),
        ("tpu", None, {"CPU": 2.0, "TPU": 1.0}),
        ("tpu", 0, {"CPU": 2.0, "TPU": 1.0}),
    ],
)
def test_what_a_worker_asks_for_follows_from_the_device(device, gpus, needs, job, bench):
    more = [] if gpus is None else [f"cluster.gpus_per_worker={gpus}"]
    made = bench.job(job, "job.toml", f"compute.device='{device}'", "cluster.cpus_per_worker=2.0", *more)
    resources.check_device(made, on_cluster=True)
    assert resources.worker_resources(made, device).amounts == needs


@no_gpu
@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_a_device_that_jax_does_not_find_is_refused(command, device, job, bench, jaxbatch):
    bench.job(job + f'compute.device = "{device}"\n')
    ended = jaxbatch(command, "job.toml")
    assert ended.returncode == 4, ended.stderr
    assert f"job.toml, line 3, key 'compute.device': JAX finds no {device.upper()} on this machine." in ended.stderr
    assert 'set device = "cpu"' in ended.stderr
    assert not (bench.folder / "results").exists()


@no_gpu
def test_the_cpu_by_name_is_the_same_run_as_a_machine_without_a_gpu(job, bench, caplog):
    caplog.set_level(logging.INFO, "jaxbatch")
    first = bench.run(job)
    again = bench.run(job, "compute.device='cpu'")
    assert again.fingerprint == first.fingerprint
    assert (again.parts_skipped, again.parts_done) == (1, 0)
    assert bench.output(again)["value"].to_pylist() == VALUES
    told = [record for record in caplog.records if record.name != "jaxbatch.events"]
    assert not told, "there is nothing to say where there is nothing to choose"
    identity = json.loads((bench.folder / "results/_jaxbatch/plan.json").read_text())["identity"]
    assert identity["device"] == "cpu"
    assert "accelerator" not in identity


def test_the_software_of_an_accelerator_belongs_to_the_identity(job, bench):
    made = bench.job(job)
    versions = {"platform": "PJRT C API cuda 13000", "jax-cuda13-plugin": "0.10.2"}
    known = Device("NVIDIA H100", "gpu", versions)
    planned = plan(made, device=known)
    assert planned.identity["device"] == "NVIDIA H100"
    assert planned.identity["accelerator"] == versions
    assert planned.fingerprint == plan(made, device=Device("NVIDIA H100", "gpu", dict(versions))).fingerprint
    for name in versions:
        other = replace(known, software={**versions, name: "another"})
        assert plan(made, device=other).fingerprint != planned.fingerprint
    assert planned.for_workers().identity.keys() == {"code", "device", "accelerator"}


@no_gpu
def test_a_worker_whose_device_is_another_refuses(job, bench):
    made = bench.job(job)
    with pytest.raises(devices.NoDevice, match="JAX finds no GPU on this machine"):
        WorkerProcess(plan(made, device=Device("NVIDIA H100", "gpu")))
    with pytest.raises(ClusterError, match="accelerator"):
        WorkerProcess(plan(made, device=Device("cpu", "cpu", {"platform": "other"})))


class Client:
    platform_version = "PJRT C API\ncuda 13000"


class Accelerator:
    platform, device_kind, client = "gpu", "NVIDIA H100", Client()


def test_the_plug_ins_of_a_platform_are_found_by_their_distributions(tmp_path, monkeypatch):
    for name, version in {
        "jax_cuda13_plugin": "0.10.2",
        "jax-cuda13-pjrt": "0.10.1",
        "libtpu": "1",
        "jax": "9",
    }.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    expected = {"platform": "PJRT C API cuda 13000", "jax-cuda13-plugin": "0.10.2", "jax-cuda13-pjrt": "0.10.1"}
    assert devices.described(Accelerator()) == Device("NVIDIA H100", "gpu", expected)


def test_who_takes_an_accelerator_unasked_says_so_but_for_quiet(capfd):
    taken = Device("NVIDIA H100", "gpu")
    for quiet, as_json, lines in ((False, False, 1), (True, False, 0), (False, True, 1)):
        with show_progress(quiet, as_json):
            devices.log_chosen_device(taken)
            devices.log_chosen_device(Device())
        said = capfd.readouterr().err.splitlines()
        assert len(said) == lines, said
        assert all("Using the NVIDIA H100" in line for line in said)


NOTEBOOK = """
import json, os, sys
import jax
from jax.extend.backend import get_default_device, register_backend_factory
from jax._src import xla_bridge

started = []


def other():
    started.append(True)
    return xla_bridge.make_cpu_client()


if "other" in sys.argv:
    register_backend_factory("other", other, priority=500)  # as an accelerator would be: what JAX prefers
if "early" in sys.argv:
    jax.devices()

import jaxbatch


def all_there_is():
    return dict(os.environ), jax.config.values["jax_platforms"], jax.config.values["jax_default_device"]


def look(_):
    if get_default_device() not in jax.local_devices(backend="cpu"):
        raise SystemExit("the CPU was to compute")


from jaxbatch import api  # imports JAX, which sets variables of its own

before, begun = all_there_is(), len(started)
first = jaxbatch.run("job.toml", **json.loads(sys.argv[1]), progress=look)
found = {"left as it was": all_there_is() == before, "started": len(started) - begun}
again = jaxbatch.run(jaxbatch.Job.load("job.toml", overrides=["output.path='again'"]), engine="local")
found["fingerprints"] = [first.fingerprint, jaxbatch.plan("job.toml").fingerprint, again.fingerprint]
found["left as it was again"] = all_there_is() == before
found["preferred"] = jax.devices()[0] not in jax.devices("cpu")
print(json.dumps(found))
"""


def notebook(folder: Path, options: dict, *arguments: str, **environment: str) -> dict:
    """What is found by a process that calls ``jaxbatch.run`` and goes on."""
    theirs = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS", "JAX_PLATFORMS")}
    command = [sys.executable, "-c", NOTEBOOK, json.dumps(options), *arguments]
    ended = subprocess.run(command, cwd=folder, env={**theirs, **environment}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@no_gpu
@pytest.mark.parametrize("started", [(), ("other",), ("other", "early")], ids=str)
def test_the_cpu_computes_where_jax_prefers_something_else(started, job, bench):
    bench.job(job + 'compute.device = "cpu"\n')
    found = notebook(bench.folder, {"engine": "local"}, *started)
    assert found["left as it was"]
    assert found["left as it was again"]
    assert found["started"] == 0, "what is not to compute is not started"
    assert found["preferred"] == bool(started), "and is there afterwards"
    assert len(set(found["fingerprints"])) == 1


@no_gpu
def test_a_run_on_ray_leaves_the_process_as_it_was_though_ray_counts_a_gpu(job, bench, jaxbatch_json):
    """Nothing says what computes, and what Ray counts JAX does not find: so the CPU does."""
    bench.job(job)
    counted = json.dumps({"CPU": 1, "GPU": 1})
    found = notebook(bench.folder, {"engine": "ray"}, "other", RAY_OVERRIDE_RESOURCES=counted)
    assert found == {
        "left as it was": True,
        "started": 0,
        "preferred": True,
        "fingerprints": [jaxbatch_json("plan", "job.toml")["fingerprint"]] * 3,
        "left as it was again": True,
    }
    assert pq.read_table(bench.folder / "results/data")["value"].to_pylist() == VALUES


@no_gpu
def test_gpus_that_only_ray_counts_never_have_the_cpu_compute_instead(job, bench, jaxbatch):
    bench.job(job)
    on_gpus = ("--set", "compute.device='gpu'", "--set", "cluster.gpus_per_worker=1")
    with cluster(1, 2, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as (address, _):
        known = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        refused = jaxbatch("run", "job.toml", "--address", address, *on_gpus, env=known)
        computed = jaxbatch("run", "job.toml", "--address", address, "--set", "compute.device='cpu'", env=known)
    assert refused.returncode == 4, refused.stderr
    told = f"Ray gave this worker GPU 0 of {socket.gethostname()}, but JAX finds none: install jaxbatch[cuda] there"
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3
    assert computed.returncode == 0, computed.stderr
    assert pq.read_table(bench.folder / "results/data")["value"].to_pylist() == VALUES


OVERLAPPING = """
import json, os, threading, jax
from jaxbatch import Job, api, plan, run

before = dict(os.environ), jax.config.values["jax_platforms"]
try:
    plan(Job.load("absent.toml"))
except Exception:
    pass
found = []


def work(number):
    job = Job.load("job.toml", overrides=[f"output.path='results{number}'", 'compute.device="cpu"'])
    found.append(run(job, engine="local", workers=1).fingerprint)


threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
cpus = plan(Job.load("job.toml")).identity["code"]["cpus"]
print(json.dumps([len(set(found)), cpus, (dict(os.environ), jax.config.values["jax_platforms"]) == before]))
"""


@no_gpu
def test_runs_that_overlap_leave_the_process_as_it_was(job, bench):
    """And what was planned in vain before says nothing of what XLA has started with."""
    bench.job(job)
    theirs = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS", "JAX_PLATFORMS")}
    command = [sys.executable, "-c", OVERLAPPING]
    ended = subprocess.run(command, cwd=bench.folder, env=theirs, capture_output=True, text=True)
    assert json.loads(ended.stdout or "null") == [1, "8", True], ended.stderr


@no_gpu
@pytest.mark.parametrize("device", ["", 'compute.device="gpu"'])
@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_a_platform_that_is_not_there_is_refused(platforms, device, job, bench, jaxbatch):
    bench.job(job)
    options = ["--set", device] if device else []
    ended = jaxbatch("run", "job.toml", *options, env={**os.environ, "JAX_PLATFORMS": platforms})
    assert ended.returncode == 4, ended.stderr
    assert "JAX_PLATFORMS" in ended.stderr
    assert len(ended.stderr.splitlines()) <= 3
