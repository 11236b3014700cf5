"""Jobs and observations of the long layout, written to several files."""

import datetime
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.kernels import regression_cases as nested

FEATURES = ["a", "b"]


def job(**params: Any) -> str:
    return nested.job(**{"features": FEATURES, "target": "y", **params})


def observations(groups: int = 7, rows: int = 400, seed: int = 0) -> pa.Table:
    """Shuffled observations of some groups, which are named by a text and a date."""
    rng = np.random.default_rng(seed)
    of_row = rng.integers(0, groups, rows)
    a, b = rng.normal(size=(2, rows))
    y = 1.0 + 2.0 * a - 3.0 * b + of_row + 0.1 * rng.normal(size=rows)
    day = [None if g == 1 else datetime.date(2026, 1, 1 + int(g) % 3) for g in of_row]
    return pa.table({"site": [f"s{g}" for g in of_row], "day": day, "a": a, "b": b, "y": y})


def groups_of(table: pa.Table, by: list[str]) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
    """X and y of each group, by its key."""
    rows = table.to_pylist()
    keys = dict.fromkeys(tuple(row[name] for name in by) for row in rows)
    found = {}
    for key in keys:
        own = [row for row in rows if tuple(row[name] for name in by) == key]
        found[key] = np.array([[row[name] for name in FEATURES] for row in own]), np.array([row["y"] for row in own])
    return found


def spread(bench: Any, table: pa.Table, files: int = 3, row_group_size: int = 40) -> None:
    """Write a table to several files under tasks/."""
    for number in range(files):
        start, stop = (table.num_rows * place // files for place in (number, number + 1))
        bench.tasks(table.slice(start, stop - start), f"tasks/{number}.parquet", row_group_size=row_group_size)


INPUT = '[input]\npath = "tasks/*.parquet"\n'


def digests(output: Any) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((Path(output) / "data").iterdir())
    }
