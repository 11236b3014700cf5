"""A process that runs one job after another on a file that is damaged anew each time, and says how each ended.

Its arguments name the jobs. A line on stdin names one; a line of JSON on stdout answers. The first answer is to no
request: it is ready.
"""

import json
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jaxbatch import Job, api
from jaxbatch.compilation import process_setup
from jaxbatch.errors import JaxbatchError

SPARE_BYTES = 4 * 2**30
"""What a run may allocate beyond what the process has when it is ready."""

JOBS = {
    "apply": """
kernel = "apply"
params.function = "functions.py:f"
input.path = "tasks.parquet"
output = { path = "results/apply", rows_per_part = 40 }
""",
    "taylor": """
kernel = "taylor"
params.function = "jax.numpy:exp"
input = { path = "tasks.parquet", columns = { center = "x", point = "p" } }
output = { path = "results/taylor", rows_per_part = 40 }
""",
    "regression": """
kernel = "regression"
params = { group_by = ["site"], features = ["x"], target = "p" }
input.path = "tasks.parquet"
output = { path = "results/regression", rows_per_part = 40 }
""",
}


def rows(output: str) -> dict[str, dict[str, Any]]:
    """The ``ok`` rows of an output by what they were computed from."""
    found = [row for part in sorted((Path(output) / "data").iterdir()) for row in pq.read_table(part).to_pylist()]
    return {str(row.get("id", row.get("site"))): row for row in found if row["status"] == "ok"}


def run(job: Job, expected: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """How a run ends, and which of its rows are not as ``expected``."""
    try:
        summary = api.run(job, engine="local", workers=1, restart=True)
    except JaxbatchError as error:
        return {"exit": int(error.exit_code), "said": str(error), "wrong": []}
    except Exception:
        return {"exit": None, "said": traceback.format_exc(), "wrong": []}
    found = rows(summary.output)
    wrong = [key for key, row in found.items() if expected is not None and repr(row) != repr(expected.get(key))]
    said = "; ".join(summary.failures[:1])
    return {"exit": summary.exit_code, "said": said, "wrong": wrong, "rows": found if expected is None else {}}


def virtual_bytes() -> int:
    """The address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def peak_bytes() -> int:
    """The most memory that this process has held since the last call."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) * 1024


def main() -> None:
    """Answer until there are no more requests."""
    process_setup.prepare(platforms="cpu")
    answers, sys.stdout = sys.stdout, sys.stderr
    jobs = {name: Job.load(f"{name}.toml") for name in sys.argv[1:]}
    expected = {name: run(job, None)["rows"] for name, job in jobs.items()}
    limit = virtual_bytes() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    peak_bytes()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        name = line.strip()
        before = peak_bytes()
        answer = run(jobs[name], expected[name])
        print(json.dumps({**answer, "grown": peak_bytes() - before}, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
