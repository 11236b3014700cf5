"""A job whose rows are joined to a table of prices, some of them without a match."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JOB = """
kernel = "apply"
params.function = "own.py:f"
[input]
path = "tasks"
keep = ["id", "ticker", "spot"]
[input.lookup.market]
path = "market.parquet"
on = ["ticker"]
[output]
path = "results"
rows_per_part = 40
[limits]
max_failed_rows = "100%"
"""
OWN = "def f(x, spot):\n    return x * spot\n"


def write(bench: Any) -> None:
    """A job over 200 rows of 4 files, whose tickers are in a table, missing there, or null."""
    bench.file("own.py", OWN)
    tickers = [None if number % 11 == 0 else f"T{number % 17}" for number in range(200)]
    for start in range(0, 200, 50):
        ids = range(start, start + 50)
        table = {"id": ids, "x": [each / 8 for each in ids], "ticker": tickers[start : start + 50]}
        bench.tasks(table, f"tasks/{start:03}.parquet", row_group_size=20)
    write_market(bench.folder)


def write_market(folder: Path, factor: float = 1.0, **options: Any) -> None:
    symbols = [*(f"T{number}" for number in range(12)), None]
    table = pa.table({"ticker": symbols, "spot": [(number + 1) * factor for number in range(13)]})
    pq.write_table(table, folder / "market.parquet", **options)


def expected(folder: Path, factor: float = 1.0) -> dict[int, float | None]:
    """The spot of every row by its id."""
    table = pa.concat_tables([pq.read_table(file) for file in sorted((folder / "tasks").iterdir())])
    spots = {f"T{number}": (number + 1) * factor for number in range(12)}
    return {row["id"]: spots.get(row["ticker"]) for row in table.to_pylist()}


def spots(output: Path) -> dict[int, float | None]:
    parts = [pq.read_table(part) for part in sorted((output / "data").iterdir())]
    return {row["id"]: row["spot"] for row in pa.concat_tables(parts).to_pylist()}


def digests(output: Path) -> dict[str, str]:
    return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in (output / "data").iterdir()}
