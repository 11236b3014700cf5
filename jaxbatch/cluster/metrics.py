"""What a cluster's own monitoring sees of a run: counts that Ray exports for Prometheus."""

from ray.util import metrics

from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.output.part_file import DATA
from jaxbatch.planning.plan import Plan

_TAGS = ("job_name", "run")


class Metrics:
    """The counts of one run, by the job's name and the first 8 digits of the run's fingerprint."""

    def __init__(self, plan: Plan):
        self._tags = {"job_name": str(plan.job.name), "run": plan.fingerprint[:8]}
        self._rows = metrics.Counter("jaxbatch_rows", "Rows written, by status.", (*_TAGS, "status"))
        self._parts = metrics.Counter("jaxbatch_parts", "Parts written or failed.", (*_TAGS, "outcome"))
        self._seconds = metrics.Counter(
            "jaxbatch_stage_seconds", "Seconds of workers' threads, by stage.", (*_TAGS, "stage")
        )
        self._workers = metrics.Gauge("jaxbatch_workers", "Workers running or requested.", _TAGS)

    def count(self, outcome: ShardResult) -> None:
        """Count one shard's outcome; of a first stage the time alone, for what that writes does not stay."""
        receipts = [receipt for receipt in outcome.receipts if receipt.name.startswith(f"{DATA}/")]
        for receipt in receipts:
            for status, rows in receipt.statuses.items():
                self._rows.inc(rows, {**self._tags, "status": status})
        for name, parts in (("written", receipts), ("failed", outcome.failures)):
            if parts:
                self._parts.inc(len(parts), {**self._tags, "outcome": name})
        for stage, seconds in outcome.stages.items():
            self._seconds.inc(seconds, {**self._tags, "stage": stage})

    def workers(self, count: int) -> None:
        """Say how many workers there are now."""
        self._workers.set(count, self._tags)
