"""How a run ended: one value, that of a run, of an output with nothing to do, or of several runs together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxbatch.columns import Status
from jaxbatch.errors import ExitCode
from jaxbatch.job.model import Job
from jaxbatch.output.paths import RunPaths
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord


@dataclass(frozen=True)
class Summary:
    """How a run ended. Rows and statuses are those of the whole output, or where that grows, of what the run added;
    ``rows_per_second`` is the speed of this run."""

    exit_code: int
    output: str
    records: str
    """The folder of the run's records in the output."""
    fingerprint: str
    rows: int
    rows_read: int
    """The rows of the input that were read for them, before any were left out or grouped."""
    failed_rows: int
    flagged_rows: int
    statuses: Mapping[str, int]
    parts: int
    parts_done: int
    parts_failed: int
    parts_skipped: int
    """Parts that were published before the run began."""
    files_skipped: int
    """Files of the input that could not be used and were left out, as the job allows."""
    seconds: float
    rows_per_second: float
    stages: Mapping[str, float]
    """Seconds of all threads, by stage."""
    slowest: Mapping[str, float] | None
    """The first ``part`` of the shard that took longest, and that shard's ``seconds``, waiting for others aside."""
    compilations: int
    padding: float | None
    """How much longer padded batches of lists were than the lists, as a fraction; None without lists."""
    failures: tuple[str, ...]


def summary_of_existing(
    job: Job, claim: ClaimRecord, receipts: Sequence[Receipt], records: RunPaths, files_skipped: int, seconds: float
) -> Summary:
    """The summary of a run that had nothing to do: the counts of the latest run, of which every part is published."""
    statuses = Counter[str]()
    for receipt in receipts:
        statuses.update(receipt.statuses)
    rows = sum(receipt.rows for receipt in receipts)
    failed_rows = count_failed(statuses)
    allowed = job.limits.allows(failed_rows, rows)
    return Summary(
        exit_code=int(ExitCode.DONE if allowed else ExitCode.TOO_MANY_FAILED_ROWS),
        output=job.resolve(job.output.path),
        records=records.folder,
        fingerprint=claim.fingerprint,
        rows=rows,
        rows_read=int(claim.rows),
        failed_rows=failed_rows,
        flagged_rows=count_flagged(statuses),
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
    counts = (
        "rows",
        "rows_read",
        "failed_rows",
        "flagged_rows",
        "parts",
        "parts_done",
        "parts_failed",
        "parts_skipped",
    )
    computed = sum(run.rows_per_second * run.seconds for run in runs)
    return replace(
        runs[-1],
        **{name: total(name) for name in (*counts, "files_skipped", "compilations")},
        exit_code=next((run.exit_code for run in reversed(runs) if run.exit_code), int(ExitCode.DONE)),
        statuses=totals("statuses"),
        stages=rounded(totals("stages")),
        slowest=max((run.slowest for run in runs if run.slowest), key=lambda shard: shard["seconds"], default=None),
        seconds=round(seconds, 3),
        rows_per_second=round(computed / max(seconds, 1e-9), 1),
        failures=tuple(failure for run in runs for failure in run.failures),
    )


def count_failed(statuses: Mapping[str, int]) -> int:
    """Of rows by status, those that failed."""
    return sum(count for name, count in statuses.items() if Status[name].failed)


def count_flagged(statuses: Mapping[str, int]) -> int:
    """Of rows by status, those that are flagged: computed, and to be looked at."""
    return sum(count for name, count in statuses.items() if Status[name].flagged)


def rounded(stages: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, to the millisecond and in the order of the names."""
    return {name: round(spent, 3) for name, spent in sorted(stages.items())}
