"""Runs every job of this folder on this machine, shows a few rows of each result, and runs one job again on Ray.

python jobs/demo.py
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import make_tasks
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

JOBS = Path(__file__).parent
ON_RAY = "greeks"
ROWS = 4
WIDE = 12

console = Console(width=160)


def main() -> None:
    console.print("Making sample tasks in jobs/tasks …")
    make_tasks.main()
    for job in sorted(JOBS.glob("*.toml")):
        summary = run(job, "--restart")
        show(job.stem, summary)
    on_ray = run(JOBS / f"{ON_RAY}.toml", "--engine", "ray", "--workers", "2", "--restart", output="results/on-ray")
    local, on_ray_digests = digests(JOBS / "results" / ON_RAY), digests(Path(on_ray["output"]))
    if local != on_ray_digests:
        sys.exit(f"{ON_RAY}: the local engine and Ray wrote different bytes")
    console.print(
        f"\n[bold]{ON_RAY}[/bold] again on Ray, {on_ray['parts_done']} parts by 2 workers in "
        f"{on_ray['seconds']:.1f} s: the bytes of every part are equal to the local run's."
    )


def run(job: Path, *options: str, output: str | None = None) -> dict:
    if output is not None:
        options = (*options, "--set", f'output.path="{output}"')
    command = [sys.executable, "-m", "jaxbatch", "run", str(job), "--json", "--quiet", *options]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(f"{job.name} ended with {finished.returncode}")
    return json.loads(finished.stdout)


def show(name: str, summary: dict) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in summary["statuses"].items())
    title = f"{name}: {summary['rows']:,} rows ({statuses}), {summary['parts']} parts, {summary['seconds']:.1f} s"
    first = sorted((Path(summary["output"]) / "data").glob("*.parquet"))[0]
    rows = [[written(value) for value in row.values()] for row in pq.read_table(first).slice(0, ROWS).to_pylist()]
    names = pq.read_schema(first).names
    table = Table(title=title, title_justify="left", title_style="bold", show_header=len(names) <= WIDE)
    if len(names) > WIDE:  # one column a row reads better
        rows = [[name, *values] for name, *values in zip(names, *rows, strict=True)]
        names = ["", *("row" for _ in rows[0][1:])]
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)


def written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list):
        shown = ", ".join(written(item) for item in value[:4])
        return f"[{shown}{', …' if len(value) > 4 else ''}]".replace("[", r"\[", 1)
    return "null" if value is None else str(value)


def digests(output: Path) -> dict[str, str]:
    parts = sorted((output / "data").glob("*.parquet"))
    return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}


if __name__ == "__main__":
    main()
