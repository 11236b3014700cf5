"""Least squares from Parquet to result, whole processes, ours and others in turn.

    python benchmarks/regression.py [nested|many|long|big|descent|digits] …

nested: 20,000 datasets of 250 × 4, a dataset a row.
many: 200,000 of them, by numpy in a loop alone beside ours.
long: 10 million rows in 40,000 groups, shuffled over 10 files.
big: one regression of 20 million rows × 20 features in 20 files, with the peak memory of each process.
descent: 1,301 steps on 10,000 datasets of 1,000 × 3 against solving them by Cholesky, computing alone.
digits: NIST's certified datasets, the worst coefficient's correct digits.

Three runs of each after a warm-up; medians, the spread, and ratios to ours. BENCH_SCALE=0.1 takes a tenth of the rows.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import Way, bar, in_turn, machine, script, show
from _regression_peers import DUCKDB, LSTSQ, NUMPY, POLARS, POLARS_OLS, SKLEARN, SKLEARN_BIG, STATSMODELS

REPEATS = 3
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
NIST = Path(__file__).parent.parent / "tests" / "data" / "nist_strd"

NESTED = """
kernel = "regression"
[params]
method = "{method}"
[input]
path = "tasks"
[output]
path = "{method}"
rows_per_part = 5000
"""

LONG = """
kernel = "regression"
[params]
method = "{method}"
features = {features}
target = "y"
group_by = {by}
[input]
path = "tasks"
[output]
path = "{method}"
"""


def ours(method: str) -> list[str]:
    """The command that runs the job of this method."""
    return [sys.executable, "-m", "jaxbatch", "run", f"{method}.toml", "--restart", "--quiet"]


def compare(
    title: str, folder: Path, commands: dict[str, list[str]], bars: list[tuple[str, str, float]]
) -> dict[str, Way]:
    """Run all commands in turn, print one table, and return what was measured.

    Each bar is (ours, another, ratio): whether our time is at most that ratio of the other's.
    """
    ways = {name: Way(command) for name, command in commands.items()}
    in_turn(ways, folder)
    show(title, ways, "jaxbatch, auto")
    for mine, theirs, most in bars:
        bar(f"{mine} / {theirs}", ways[mine].seconds / ways[theirs].seconds, most)
    return ways


def make_datasets(folder: Path, count: int, n: int, p: int) -> None:
    """Four files of datasets of n × p, one a row."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(4):
        X = rng.normal(size=(count // 4, n, p))
        y = 1.0 + X @ np.arange(1.0, p + 1) + 0.1 * rng.normal(size=X.shape[:2])
        rows = pa.ListArray.from_arrays(np.arange(0, X.size + 1, p, dtype=np.int32), X.reshape(-1))
        ends = np.arange(0, y.size + 1, n, dtype=np.int32)
        lists = {"X": pa.ListArray.from_arrays(ends, rows), "y": pa.ListArray.from_arrays(ends, y.reshape(-1))}
        pq.write_table(pa.table(lists), folder / f"{number}.parquet", row_group_size=2500)


def nested(folder: Path) -> None:
    """20,000 datasets of 250 × 4."""
    count, n, p = max(4, int(20_000 * SCALE)), 250, 4
    make_datasets(folder / "tasks", count, n, p)
    for method in ("auto", "cholesky"):
        (folder / f"{method}.toml").write_text(NESTED.format(method=method))
    commands = {
        "jaxbatch, auto": ours("auto"),
        "jaxbatch, cholesky": ours("cholesky"),
        "numpy lstsq in a loop": script(NUMPY, FIT=LSTSQ),
        "statsmodels in a loop": script(NUMPY, FIT=STATSMODELS),
        "scikit-learn in a loop": script(NUMPY, FIT=SKLEARN),
    }
    compare(
        f"{count:,} datasets of {n} × {p}, one a row",
        folder,
        commands,
        [
            ("jaxbatch, auto", "numpy lstsq in a loop", 1),
            ("jaxbatch, cholesky", "numpy lstsq in a loop", 1 / 6),
            ("jaxbatch, auto", "scikit-learn in a loop", 1 / 60),
        ],
    )


def many(folder: Path) -> None:
    """200,000 datasets of 250 × 4."""
    count, n, p = max(4, int(200_000 * SCALE)), 250, 4
    make_datasets(folder / "tasks", count, n, p)
    (folder / "auto.toml").write_text(NESTED.format(method="auto"))
    commands = {"jaxbatch, auto": ours("auto"), "numpy lstsq in a loop": script(NUMPY, FIT=LSTSQ)}
    bars = [("jaxbatch, auto", "numpy lstsq in a loop", 0.5)]
    compare(f"{count:,} datasets of {n} × {p}, one a row", folder, commands, bars)


def long(folder: Path) -> None:
    """10 million rows in 40,000 groups."""
    rows, groups, files = int(10_000_000 * SCALE), max(10, int(40_000 * SCALE)), 10
    features = ["a", "b", "c", "d"]
    rng = np.random.default_rng(0)
    (folder / "tasks").mkdir()
    for number in range(files):
        each = rows // files
        X = rng.normal(size=(each, len(features)))
        y = 1.0 + X @ np.arange(1.0, 5.0) + 0.1 * rng.normal(size=each)
        columns = {"group": rng.integers(0, groups, each), **dict(zip(features, X.T, strict=True)), "y": y}
        pq.write_table(pa.table(columns), folder / "tasks" / f"{number}.parquet", row_group_size=each // 4)
    for method in ("auto", "cholesky"):
        (folder / f"{method}.toml").write_text(LONG.format(method=method, features=features, by=["group"]))
    commands = {
        "jaxbatch, auto": ours("auto"),
        "jaxbatch, cholesky": ours("cholesky"),
        "polars, Gram sums": script(POLARS, FEATURES=features, BY=["group"]),
        "polars-ols": script(POLARS_OLS, FEATURES=features),
        "DuckDB, Gram sums": script(DUCKDB, FEATURES=features),
    }
    compare(
        f"{rows:,} rows in {groups:,} groups, shuffled",
        folder,
        commands,
        [("jaxbatch, auto", "polars, Gram sums", 3), ("jaxbatch, auto", "polars-ols", 1 / 5)],
    )


def big(folder: Path) -> None:
    """One regression of 20 million rows × 20 features."""
    rows, files = int(20_000_000 * SCALE), 20
    features = [f"x{i:02d}" for i in range(20)]
    rng = np.random.default_rng(0)
    (folder / "tasks").mkdir()
    for number in range(files):
        each = rows // files
        X = rng.normal(size=(each, len(features)))
        y = 1.0 + X @ np.arange(1.0, 21.0) + rng.normal(size=each)
        columns = {**dict(zip(features, X.T, strict=True)), "y": y}
        pq.write_table(pa.table(columns), folder / "tasks" / f"{number:02d}.parquet", row_group_size=each // 8)
    for method in ("auto", "cholesky"):
        (folder / f"{method}.toml").write_text(LONG.format(method=method, features=features, by=[]))
    commands = {
        "jaxbatch, auto": ours("auto"),
        "jaxbatch, cholesky": ours("cholesky"),
        "polars streaming, Gram sums": script(POLARS, FEATURES=features, BY=[]),
        "scikit-learn in memory": script(SKLEARN_BIG, FEATURES=features),
    }
    ways = compare(
        f"one fit of {rows:,} rows × {len(features)} features",
        folder,
        commands,
        [
            ("jaxbatch, auto", "polars streaming, Gram sums", 2),
            ("jaxbatch, cholesky", "polars streaming, Gram sums", 1.2),
        ],
    )
    bar("peak MiB of jaxbatch, auto", max(ways["jaxbatch, auto"].memory), 1024)


def descent(folder: Path) -> None:
    """1,301 steps on 10,000 datasets of 1,000 × 3, and solving them by Cholesky: the seconds of computing alone."""
    count, n, p = max(8, int(10_000 * SCALE)), 1000, 3
    make_datasets(folder / "tasks", count, n, p)
    fixed = "learning_rate = 0.005\nmax_steps = 1301\ntolerance = 0.0\n"
    jobs = {"cholesky": "", "gradient_descent": fixed}
    found: dict[str, list[float]] = {method: [] for method in jobs}
    for method, params in jobs.items():
        text = NESTED.format(method=method).replace("[input]", f"{params}[input]")
        (folder / f"{method}.toml").write_text(text)
    for turn in range(REPEATS + 1):
        for method in jobs:
            command = [*ours(method), "--json", "--workers", "1"]
            out = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
            if turn:
                found[method].append(json.loads(out)["stages"]["compute"])
    print(
        f"\n{count:,} datasets of {n} × {p}: seconds of computing, one shard at a time, median of {REPEATS} (min–max)"
    )
    base = statistics.median(found["cholesky"])
    for method, times in found.items():
        middle = statistics.median(times)
        print(f"{method:34}{middle:8.3f} s ({min(times):.3f}–{max(times):.3f})   {middle / base:6.2f} × cholesky")
    bar("1,301 steps of descent / cholesky", statistics.median(found["gradient_descent"]) / base, 20)


def digits(folder: Path) -> None:
    """Correct digits of the worst coefficient, at most 15."""
    import jaxbatch

    def correct(found: list[float], certified: list[str]) -> float:
        worst = max(abs(b - float(c)) / abs(float(c)) for b, c in zip(found, certified, strict=True))
        return 15.0 if worst == 0 else min(15.0, -float(np.log10(worst)))

    table: dict[str, dict[str, float]] = {}
    for path in sorted(NIST.glob("*.json")):
        stored = json.loads(path.read_text())
        x, y, model = np.array(stored["x"], float), np.array(stored["y"], float), stored["model"]
        linear = model["type"] == "linear"
        X = x if linear else np.column_stack([x**k for k in range(1, model["degree"] + 1)])
        intercept, certified = model["intercept"], stored["certified"]["coefficients"]
        A = np.column_stack([np.ones(len(y)), X]) if intercept else X
        row = table.setdefault(stored["name"], {})
        pq.write_table(pa.table({"X": [X.tolist()], "y": [y.tolist()]}), folder / "tasks.parquet")
        for method in ("auto", "cholesky", "qr", "svd"):
            job = folder / "job.toml"
            job.write_text(
                f'kernel = "regression"\n[params]\nmethod = "{method}"\nintercept = {str(intercept).lower()}\n'
                '[input]\npath = "tasks.parquet"\n[output]\npath = "out"\n'
            )
            summary = jaxbatch.run(str(job), engine="local", restart=True)
            (file,) = (Path(summary.output) / "data").iterdir()
            row[method] = correct(pq.read_table(file)["coefficients"][0].as_py(), certified)
        row["numpy"] = correct(np.linalg.lstsq(A, y, rcond=None)[0].tolist(), certified)
        from sklearn.linear_model import LinearRegression  # pyright: ignore[reportMissingImports]

        fitted = LinearRegression(fit_intercept=intercept).fit(X, y)
        slopes = [float(b) for b in fitted.coef_]
        row["sklearn"] = correct([float(fitted.intercept_), *slopes] if intercept else slopes, certified)
        import statsmodels.api as sm  # pyright: ignore[reportMissingImports]

        row["statsmodels"] = correct(list(sm.OLS(y, A).fit().params), certified)
    names = list(next(iter(table.values())))
    print("\ncorrect digits of the worst coefficient (NIST StRD)")
    print(f"{'':10}" + "".join(f"{name:>12}" for name in names))
    for dataset, found in table.items():
        print(f"{dataset:10}" + "".join(f"{found[name]:12.1f}" for name in names))


def main() -> None:
    """Run the parts named on the command line, or all."""
    print(machine(["jax", "pyarrow", "numpy", "polars", "polars-ols", "duckdb", "scikit-learn", "statsmodels"]))
    parts = {"nested": nested, "many": many, "long": long, "big": big, "descent": descent, "digits": digits}
    for name in sys.argv[1:] or parts:
        folder = Path(tempfile.mkdtemp(prefix="jaxbatch-bench-"))
        try:
            started = time.perf_counter()
            parts[name](folder)
            print(f"({time.perf_counter() - started:.0f} s in all)", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
