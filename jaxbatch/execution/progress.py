"""What has come of a run: counted while it goes on, summed up at its end."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxbatch.columns import Status
from jaxbatch.errors import ExitCode
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.job.model import Job
from jaxbatch.output.paths import RunPaths
from jaxbatch.output.receipt import Receipt
from jaxbatch.planning.plan import Plan

TIMELINE = 250
"""How many moments of a run its report has, or up to twice as many."""


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
    """How many may be at work."""


@dataclass(frozen=True)
class Summary:
    """How a run ended. Rows and statuses are those of the whole output, but where that grows of what was added;
    ``rows_per_second`` is of this run."""

    exit_code: int
    output: str
    records: str
    """The folder of the run's records in the output."""
    fingerprint: str
    rows: int
    failed_rows: int
    flagged_rows: int
    statuses: Mapping[str, int]
    parts: int
    parts_done: int
    parts_failed: int
    parts_skipped: int
    files_skipped: int
    """Files of the input that could not be used and were left out, as the job allows."""
    seconds: float
    rows_per_second: float
    stages: Mapping[str, float]
    slowest: Mapping[str, float] | None
    """The ``part`` with which the shard began that took longest, and its ``seconds``, waiting for others aside."""
    compilations: int
    padding: float | None
    """How much longer padded batches of lists were than the lists, as a fraction; None without lists."""
    failures: tuple[str, ...]


def summary_of_existing(
    job: Job, fingerprint: str, receipts: Sequence[Receipt], records: RunPaths, files_skipped: int, seconds: float
) -> Summary:
    """The end of a run that had nothing to do: what there is to say of the latest one, whose parts are all there."""
    statuses = Counter[str]()
    for receipt in receipts:
        statuses.update(receipt.statuses)
    rows = sum(receipt.rows for receipt in receipts)
    failed = _failed(statuses)
    allowed = job.limits.allows(failed, rows)
    return Summary(
        exit_code=int(ExitCode.DONE if allowed else ExitCode.TOO_MANY_FAILED_ROWS),
        output=job.resolve(job.output.path),
        records=records.folder,
        fingerprint=fingerprint,
        rows=rows,
        failed_rows=failed,
        flagged_rows=_flagged(statuses),
        statuses=dict(sorted(statuses.items())),
        parts=len(receipts),
        parts_done=0,
        parts_failed=0,
        parts_skipped=len(receipts),
        files_skipped=files_skipped,
        seconds=round(seconds, 3),
        rows_per_second=0.0,
        stages={},
        slowest=None,
        compilations=0,
        padding=None,
        failures=(),
    )


def combined(runs: Sequence[Summary], seconds: float) -> Summary:
    """Several runs of one output as one: the worst exit code, the last one's fingerprint, everything else summed up."""

    def total(name: str) -> Any:
        return sum(getattr(run, name) for run in runs)

    def totals(name: str) -> dict[str, Any]:
        return dict(sorted(sum((Counter(getattr(run, name)) for run in runs), Counter()).items()))

    if len(runs) == 1:
        return runs[0]
    counts = ("rows", "failed_rows", "flagged_rows", "parts", "parts_done", "parts_failed", "parts_skipped")
    computed = sum(run.rows_per_second * run.seconds for run in runs)
    return replace(
        runs[-1],
        **{name: total(name) for name in (*counts, "files_skipped", "compilations")},
        exit_code=next((run.exit_code for run in reversed(runs) if run.exit_code), int(ExitCode.DONE)),
        statuses=totals("statuses"),
        stages=_rounded(totals("stages")),
        slowest=max((run.slowest for run in runs if run.slowest), key=lambda shard: shard["seconds"], default=None),
        seconds=round(seconds, 3),
        rows_per_second=round(computed / max(seconds, 1e-9), 1),
        failures=tuple(failure for run in runs for failure in run.failures),
    )


class ProgressTracker:
    """What has come of a run so far."""

    def __init__(self, planned: Plan, there: Mapping[int, Receipt], workers: Callable[[], int] = lambda: 0):
        self._plan = planned
        self._workers = workers
        self._final = planned.stages()[-1]
        self._skipped = len(there)
        self._receipts: dict[int, Receipt] = {}
        self._statuses: Counter[str] = Counter()
        self._take(there.values())
        self._rows_of = {part.index: part.rows for shard in planned.shards for part in shard.parts}
        self._rows_skipped = self._rows_done = 0
        self.failed: dict[int, str] = {}
        self._stages: dict[str, Counter[str]] = {}
        """Seconds by stage, of each worker."""
        self._shards: Counter[str] = Counter()
        self._began = time.monotonic()
        self._compilations: dict[str, tuple[int, float]] = {}
        """How many, and for how long, of each worker."""
        self._padding: Counter[str] = Counter()
        self._timeline: list[tuple[float, int]] = []
        """Seconds and rows done by then."""
        self._slowest: dict[str, float] | None = None
        if self._final is planned:
            self.skip(there)
        elif self._skipped == self._final.parts:
            self._rows_skipped = self._rows_done = planned.rows

    def skip(self, there: Iterable[int]) -> None:
        """Count input that earlier attempts have dealt with."""
        self._rows_skipped = sum(self._rows_of[part] for part in there)
        self._rows_done = self._rows_skipped

    def add(self, stage: Plan, outcome: ShardResult) -> None:
        """Count one shard's outcome."""
        if stage is self._plan:
            self._rows_done += sum(self._rows_of[receipt.part] for receipt in outcome.receipts)
        if stage.folder == self._final.folder:
            self._take(outcome.receipts)
        first = "first stage: " if stage.folder != self._final.folder else ""
        self.failed |= {failure.part: f"{first}{failure.reason}" for failure in outcome.failures}
        if outcome.worker:
            self._shards[outcome.worker] += 1
            self._stages.setdefault(outcome.worker, Counter()).update(outcome.stages)
            before = self._compilations.get(outcome.worker, (0, 0.0))
            self._compilations[outcome.worker] = max(before, (outcome.compilations, outcome.compile_s))
        self._padding.update(outcome.padding)
        self._take_time(outcome)
        self._timeline.append((round(time.monotonic() - self._began, 3), self._rows_done))
        if len(self._timeline) > 2 * TIMELINE:
            del self._timeline[1::2]

    def _take_time(self, outcome: ShardResult) -> None:
        parts = [receipt.part for receipt in outcome.receipts] + [failure.part for failure in outcome.failures]
        seconds = round(sum(outcome.stages.values()) - outcome.stages.get("queue", 0.0), 3)
        if parts and (self._slowest is None or seconds > self._slowest["seconds"]):
            self._slowest = {"part": min(parts), "seconds": seconds}

    def timing_report(self, max_concurrency: int) -> dict[str, Any]:
        """Where the time went: that of each worker, what so many shards at once waited, and which took the most.

        What a shard has waited for others to compute, "queue", is nobody's fault but theirs.
        """
        spent = sum(self._stages.values(), Counter())
        waited = max(max_concurrency * (time.monotonic() - self._began) - sum(spent.values()), 0.0) if spent else 0.0
        return {
            "by_worker": {
                name: {
                    "shards": self._shards[name],
                    "compile_s": round(self._compilations[name][1], 3),
                    "stages": _rounded(stages),
                }
                for name, stages in sorted(self._stages.items())
            },
            "timeline": [(0.0, self._rows_skipped), *self._timeline],
            "wait": round(waited, 3),
            "bound_by": max({**spent, "queue": 0.0, "wait": waited}.items(), key=lambda item: item[1])[0]
            if spent
            else None,
        }

    def _take(self, receipts: Iterable[Receipt]) -> None:
        """Count the rows of parts by their statuses, of each part once."""
        for receipt in receipts:
            if receipt.part not in self._receipts:
                self._receipts[receipt.part] = receipt
                self._statuses.update(receipt.statuses)

    def progress(self) -> Progress:
        """The state of things, to show."""
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
        """The end of things."""
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
            failed_rows=failed_rows,
            flagged_rows=_flagged(statuses),
            statuses=statuses,
            parts=self._final.parts,
            parts_done=len(self._receipts) - self._skipped,
            parts_failed=len(self.failed),
            parts_skipped=self._skipped,
            files_skipped=len(self._plan.skipped),
            seconds=round(seconds, 3),
            rows_per_second=round((self._rows_done - self._rows_skipped) / max(seconds, 1e-9), 1),
            stages=_rounded(sum(self._stages.values(), Counter())),
            slowest=self._slowest,
            compilations=max((count for count, _ in self._compilations.values()), default=0),
            padding=round(self._padding["padded"] / elements - 1, 3)
            if (elements := self._padding["elements"])
            else None,
            failures=tuple(f"part {part}: {reason}" for part, reason in sorted(self.failed.items())),
        )

    @property
    def _failed_rows(self) -> int:
        return _failed(self._statuses)


def _failed(statuses: Mapping[str, int]) -> int:
    return sum(count for name, count in statuses.items() if Status[name].failed)


def _flagged(statuses: Mapping[str, int]) -> int:
    return sum(count for name, count in statuses.items() if Status[name].flagged)


def _rounded(stages: Mapping[str, float]) -> dict[str, float]:
    return {name: round(spent, 3) for name, spent in sorted(stages.items())}
