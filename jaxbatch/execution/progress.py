"""How far a run is: parts, rows and seconds, counted shard by shard while it goes on."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxbatch.errors import ExitCode
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.execution.summary import Summary, count_failed, count_flagged, rounded
from jaxbatch.output.receipt import Receipt
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.stage_plans import StagePlan

TIMELINE = 250
"""The points of the timeline in a run's report; there may be up to twice as many."""


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever shows it."""

    rows: int
    rows_done: int
    rows_skipped: int
    failed_rows: int
    parts: int
    parts_done: int
    workers: int
    """Shards (local) or worker processes (Ray) that may be at work at once."""


class ProgressTracker:
    """Counts what becomes of a run's shards.

    Args:
        planned: the run, with both of its stages where there are two.
        published: the receipts of parts that earlier attempts at the run have published.
        workers: says how many workers there are now.
    """

    def __init__(self, planned: Plan, published: Mapping[int, Receipt], workers: Callable[[], int] = lambda: 0):
        self._plan = planned
        self._workers = workers
        self._final = planned.final
        self._skipped = len(published)
        self._receipts: dict[int, Receipt] = {}
        self._statuses: Counter[str] = Counter()
        self._add_receipts(published.values())
        self._rows_of = {part.index: part.rows for shard in planned.first.shards for part in shard.parts}
        self._rows_skipped = self._rows_done = 0
        self.failed: dict[int, str] = {}
        self._stages: dict[str, Counter[str]] = {}
        """Seconds by stage, for each worker."""
        self._shards: Counter[str] = Counter()
        """Shards by worker."""
        self._started = time.monotonic()
        self._compilations: dict[str, tuple[int, float]] = {}
        """By worker: how many programs it has compiled, and for how many seconds."""
        self._padding: Counter[str] = Counter()
        self._timeline: list[tuple[float, int]] = []
        """Seconds since the start, and the rows done by then."""
        self._slowest: dict[str, float] | None = None
        if self._final is planned.first:
            self.skip(published)
        elif self._skipped == self._final.parts:
            self._rows_skipped = self._rows_done = planned.rows

    def skip(self, published: Iterable[int]) -> None:
        """Count the rows that these parts, published earlier, spare the run. They are of the plan's first stage."""
        self._rows_skipped = sum(self._rows_of[part] for part in published)
        self._rows_done = self._rows_skipped

    def add(self, stage: StagePlan, result: ShardResult) -> None:
        """Count one shard's result."""
        if stage is self._plan.first:
            self._rows_done += sum(self._rows_of[receipt.part] for receipt in result.receipts)
        if stage.folder == self._final.folder:
            self._add_receipts(result.receipts)
        first = "first stage: " if stage.folder != self._final.folder else ""
        self.failed |= {failure.part: f"{first}{failure.reason}" for failure in result.failures}
        if result.worker:
            self._shards[result.worker] += 1
            self._stages.setdefault(result.worker, Counter()).update(result.stages)
            before = self._compilations.get(result.worker, (0, 0.0))
            self._compilations[result.worker] = max(before, (result.compilations, result.compile_s))
        self._padding.update(result.padding)
        self._note_slowest(result)
        self._timeline.append((round(time.monotonic() - self._started, 3), self._rows_done))
        if len(self._timeline) > 2 * TIMELINE:
            del self._timeline[1::2]

    def _note_slowest(self, result: ShardResult) -> None:
        parts = [receipt.part for receipt in result.receipts] + [failure.part for failure in result.failures]
        seconds = round(sum(result.stages.values()) - result.stages.get("queue", 0.0), 3)
        if parts and (self._slowest is None or seconds > self._slowest["seconds"]):
            self._slowest = {"part": min(parts), "seconds": seconds}

    def timing_report(self, max_concurrency: int) -> dict[str, Any]:
        """Where the time went, as JSON values: by worker, over time, and the stage that took the most.

        ``wait`` is what no shard accounts for of ``max_concurrency`` × the run's seconds. The stage "queue", in which
        shards waited for others to compute, is left out of the comparison: the others' stages count that time.
        """
        spent = sum(self._stages.values(), Counter())
        waited = max(max_concurrency * (time.monotonic() - self._started) - sum(spent.values()), 0.0) if spent else 0.0
        return {
            "by_worker": {
                name: {
                    "shards": self._shards[name],
                    "compile_s": round(self._compilations[name][1], 3),
                    "stages": rounded(stages),
                }
                for name, stages in sorted(self._stages.items())
            },
            "timeline": [(0.0, self._rows_skipped), *self._timeline],
            "wait": round(waited, 3),
            "bound_by": max({**spent, "queue": 0.0, "wait": waited}.items(), key=lambda item: item[1])[0]
            if spent
            else None,
        }

    def _add_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Count the rows of parts by their statuses, of each part once."""
        for receipt in receipts:
            if receipt.part not in self._receipts:
                self._receipts[receipt.part] = receipt
                self._statuses.update(receipt.statuses)

    def progress(self) -> Progress:
        """How far the run is now."""
        return Progress(
            rows=self._plan.rows,
            rows_done=self._rows_done,
            rows_skipped=self._rows_skipped,
            failed_rows=self._failed_rows,
            parts=self._final.parts,
            parts_done=len(self._receipts),
            workers=self._workers(),
        )

    def summary(self, seconds: float) -> Summary:
        """How the run ended, after ``seconds``."""
        statuses = dict(sorted(self._statuses.items()))
        rows = sum(receipt.rows for receipt in self._receipts.values())
        failed_rows = self._failed_rows
        if self.failed:
            code = ExitCode.PARTS_FAILED
        elif not self._plan.job.limits.allows(failed_rows, rows):
            code = ExitCode.TOO_MANY_FAILED_ROWS
        else:
            code = ExitCode.DONE
        return Summary(
            exit_code=int(code),
            output=self._plan.output,
            records=self._plan.records.folder,
            fingerprint=self._plan.fingerprint,
            rows=rows,
            rows_read=self._rows_done,
            failed_rows=failed_rows,
            flagged_rows=count_flagged(statuses),
            statuses=statuses,
            parts=self._final.parts,
            parts_done=len(self._receipts) - self._skipped,
            parts_failed=len(self.failed),
            parts_skipped=self._skipped,
            files_skipped=len(self._plan.skipped),
            seconds=round(seconds, 3),
            rows_per_second=round((self._rows_done - self._rows_skipped) / max(seconds, 1e-9), 1),
            stages=rounded(sum(self._stages.values(), Counter())),
            slowest=self._slowest,
            compilations=max((count for count, _ in self._compilations.values()), default=0),
            padding=round(self._padding["padded"] / elements - 1, 3)
            if (elements := self._padding["elements"])
            else None,
            failures=tuple(f"part {part}: {reason}" for part, reason in sorted(self.failed.items())),
        )

    @property
    def _failed_rows(self) -> int:
        return count_failed(self._statuses)
