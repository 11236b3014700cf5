"""Where workers may run: what each needs of a node, the device that it finds there, and the nodes that lack one."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import ray

from jaxbatch.cluster import probe, resources
from jaxbatch.compilation import devices, linear_algebra
from jaxbatch.compilation.devices import Device, NoDevice
from jaxbatch.job.model import Job

_LOG = logging.getLogger(__name__)


class Placement:
    """The places of a job's workers on a cluster, or on a ``private`` Ray.

    If the job does not say what computes, a private Ray takes the accelerator that JAX finds, unless this process was
    started with JAX confined to the CPU (``platforms``).

    Raises:
        NoDevice: no node has the device that is to compute.
        JobError: a private Ray has no place for a worker.
        ClusterError: the nodes cannot be asked for their device.
    """

    def __init__(self, job: Job, *, private: bool, platforms: str | None = None):
        self._job, self._private = job, private
        self._without: dict[str, NoDevice] = {}
        """By node: why it has no device for a worker, though Ray counts one there."""
        self.missing = 0
        """How many devices are missing on the other nodes."""
        device = job.compute.device or ("gpu" if job.cluster.gpus_per_worker else None)
        self.device = self._preferred(platforms) if device is None else self._asked(device)
        """The device that workers compute on."""

    def _preferred(self, platforms: str | None) -> Device:
        counted = ray.cluster_resources()
        candidates = ["tpu"] if self._job.cluster.gpus_per_worker == 0 else ["gpu", "tpu"]
        for platform in candidates if platforms != "cpu" else ():
            if platform.upper() not in counted:
                continue
            try:
                found = self._asked(platform)
            except NoDevice:
                _LOG.info("Ray reports a %s on this machine but JAX finds none: using the CPU.", platform.upper())
            else:
                devices.log_chosen_device(found)
                return found
        return self._asked("cpu")

    def _asked(self, platform: str) -> Device:
        """The device of ``platform`` that workers find; from now on the places are those with it."""
        self.needs = resources.worker_resources(self._job, platform)
        self._variables = self._environment(platform)
        if self._private:
            self._check_fits(platform)
        if platform == "cpu":
            return Device()
        found, without = probe.probe_device(platform, self.needs, self._probing(), self.warn_waiting)
        for error in without:
            self.leave_out(error)
        return found

    def _environment(self, platform: str) -> dict[str, str]:
        """The variables that workers need, except those that Ray's idle workers have inherited already."""
        # Where the CPU computes, a worker must not touch the GPUs that it sees; else JAX chooses there, not as here.
        wanted = {
            "NPROC": os.environ["NPROC"],
            "JAX_PLATFORMS": "cpu" if platform == "cpu" else "",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            **{name: os.environ[name] for name in linear_algebra.PINNED if name in os.environ},
        }
        if 0 < self.needs.gpus < 1:
            wanted["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 * self.needs.gpus:.3f}"
        inherited = self._private and all(os.environ.get(name) == value for name, value in wanted.items())
        return {} if inherited else wanted

    def _check_fits(self, platform: str) -> None:
        if self.fitting() >= 1:
            return
        counted = ray.cluster_resources()
        if self._job.compute.device and platform.upper() not in counted:
            raise self._job.error(
                ("compute", "device"),
                f"Ray finds no {platform.upper()} on this machine.",
                'Check its driver, or set device = "cpu" in [compute].',
            )
        available = ", ".join(f"{counted.get(name, 0.0):g} {name}s" for name in self.needs.amounts)
        raise self._job.error(
            ("cluster",),
            f"a worker needs more than this machine has, which is {available}.",
            "Lower cpus_per_worker or gpus_per_worker.",
        )

    def fitting(self) -> int:
        """How many workers there are places for now."""
        available: Counter[str] = Counter()
        for node in ray.nodes():
            if node["Alive"] and node["NodeID"] not in self._without:
                available.update(node["Resources"])
        return self.needs.places(available) - self.missing

    def options(self) -> dict[str, Any]:
        """The options with which Ray starts a worker in one of the places."""
        options = self._options(self._variables)
        if self._without:
            options["label_selector"] = {"ray.io/node-id": f"!in({', '.join(self._without)})"}
        return options

    def _probing(self) -> dict[str, Any]:
        """The options for a process that only looks at its device, and takes no memory there."""
        return self._options({**self._variables, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"})

    def _options(self, variables: Mapping[str, str]) -> dict[str, Any]:
        amounts = {"num_cpus": self.needs.cpus, "num_gpus": self.needs.gpus}
        more = {"resources": {"TPU": self.needs.tpus}} if self.needs.tpus else {}
        return {**amounts, **more, **({"runtime_env": {"env_vars": dict(variables)}} if variables else {})}

    def leave_out(self, error: NoDevice) -> bool:
        """Place no more workers on a node where JAX finds no device; False if no other node has places."""
        if not probe.nodes(self.needs, but={*self._without, error.node}):
            return False
        if error.node not in self._without:
            self._without[error.node] = error
            _LOG.warning("%s The run continues without this node.", error.what)
        return True

    def warn_waiting(self) -> None:
        """Warn that no worker has a place yet."""
        _LOG.warning("Still waiting for a worker: each needs %s, which the cluster does not have free.", self.needs)
