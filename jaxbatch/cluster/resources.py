"""What a worker needs of Ray, by the device that computes, and whether the job says which device that is."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxbatch.job.model import Job


@dataclass(frozen=True)
class Resources:
    """What one worker needs, in Ray's units."""

    cpus: float
    gpus: float = 0.0
    tpus: float = 0.0

    @property
    def amounts(self) -> dict[str, float]:
        """The needed amounts by Ray's names: CPU, GPU, TPU."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, "TPU": self.tpus}
        return {name: amount for name, amount in amounts.items() if amount}

    def __str__(self) -> str:
        return " and ".join(f"{amount:g} {name}{'s' * (amount != 1)}" for name, amount in self.amounts.items())

    def places(self, available: Mapping[str, float]) -> int:
        """How many workers the ``available`` amounts suffice for."""
        return int(min(available.get(name, 0.0) / amount for name, amount in self.amounts.items()))


def worker_resources(job: Job, platform: str) -> Resources:
    """What a job's worker needs to compute on ``platform``: one device, or as many GPUs as the job says."""
    gpus = job.cluster.gpus_per_worker
    return Resources(
        job.cluster.cpus_per_worker,
        (1.0 if gpus is None else gpus) if platform == "gpu" else 0.0,
        1.0 if platform == "tpu" else 0.0,
    )


def check_device(job: Job, *, on_cluster: bool) -> None:
    """Check that a job says what it must to run on Ray: on a cluster, or on a private Ray of this machine.

    Raises:
        JobError: it does not say what computes (on a cluster), or gives workers other devices than that.
    """
    device, gpus = job.compute.device, job.cluster.gpus_per_worker
    if on_cluster and device is None:
        raise job.error(
            ("compute", "device"),
            "is missing; on a cluster the job must say what computes.",
            'Add device = "cpu" or device = "gpu" to [compute].',
        )
    if device not in (None, "gpu") and gpus:
        raise job.error(
            ("cluster", "gpus_per_worker"),
            f'is {gpus:g}, but device is "{device}".',
            'Remove it, or set device = "gpu" in [compute].',
        )
    if device == "gpu" and gpus == 0:
        raise job.error(
            ("cluster", "gpus_per_worker"),
            'is 0, but device is "gpu".',
            'Remove it, or set device = "cpu" in [compute].',
        )
