"""The input of the golden jobs: whole numbers and their quotients, which are rounded alike wherever they are made."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NAN, INFINITE = float("nan"), float("inf")


def write(folder: Path) -> None:
    """Write the input of every job below ``folder``; of the one that grows, the first day."""
    for number in range(2):
        _write(folder, f"points/{number}", points(number), rows=15)
    _write(folder, "pairs", pairs(), rows=8)
    _write(folder, "expansions", expansions(), rows=10)
    _write(folder, "datasets", datasets(), rows=8)
    _write(folder, "ragged", ragged(), rows=8)
    for number in range(3):
        _write(folder, f"observations/{number}", observations(number), rows=8)
    _write(folder, "vectors", vectors(), rows=10)
    _write(folder, "lists", lists(), rows=6)
    write_day(folder, 0)
    _write(folder, "broken/0", {"x": [1.5, -2.0]})
    (folder / "broken" / "1.parquet").write_bytes(b"This is no Parquet file.")
    _write(folder, "broken/2", {"x": [0.25, None, 3.0]})


def write_day(folder: Path, day: int) -> None:
    """Write one day's file of the job that grows."""
    numbers = range(10 * day, 10 * day + 10)
    _write(folder, f"days/{day}", {"id": numbers, "x": [spread(n) for n in numbers]}, rows=4)


def _write(folder: Path, name: str, columns: Mapping[str, Any], rows: int | None = None) -> None:
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), path, row_group_size=rows)


def spread(number: int) -> float:
    """A multiple of 1/61 between −4.2 and 4.2 that looks like chance; sums of such are rounded, so order shows."""
    return (number * 7919 % 509 - 254) / 61


def points(file: int) -> dict[str, Any]:
    """Points with columns of many types beside them, as far as these are the same in every Parquet file."""
    numbers = range(30 * file, 30 * file + 30)
    day = datetime.date(2026, 1, 1)
    noon = datetime.datetime(2026, 1, 1, 12)
    x = {3: None, 7: NAN, 11: INFINITE, 40: None} | {55: -1000.0}  # e¹⁰⁰⁰ is no number
    return {
        "x": pa.array([x.get(n, spread(n)) for n in numbers], pa.float64()),
        "order": pa.array([{5: None, 20: 4, 33: -1}.get(n, n % 4) for n in numbers], pa.int32()),
        "id": pa.array([2**53 + n for n in numbers], pa.int64()),
        "text": [None if n % 9 == 4 else "é" * (n % 5) for n in numbers],
        "flag": [None if n % 7 == 3 else n % 2 == 0 for n in numbers],
        "day": [day + datetime.timedelta(days=n) for n in numbers],
        "time": pa.array([noon + datetime.timedelta(seconds=n) for n in numbers], pa.timestamp("us", "UTC")),
        "amount": pa.array([Decimal(n * 12345) / 100 for n in numbers], pa.decimal128(12, 2)),
        "half": pa.array([n / 8 for n in numbers], pa.float32()),
        "bytes": pa.array([bytes([n, 255 - n]) for n in numbers], pa.binary()),
        "kind": pa.array([("a", "b", None)[n % 3] for n in numbers]).dictionary_encode(),
    }


def pairs() -> dict[str, Any]:
    numbers = range(24)
    return {
        "id": numbers,
        "x": [{6: None, 13: 0.0, 17: -1.0}.get(n, 5 + spread(n)) for n in numbers],
        "y": [{9: NAN}.get(n, spread(n + 100)) for n in numbers],
        "z": pa.array([n - 12 for n in numbers], pa.int16()),
    }


def expansions() -> dict[str, Any]:
    """Of one function to orders 0 to 2, of the other to 3 and 4: each rung is another program."""
    numbers = range(40)
    return {
        "center": [{12: None, 21: 0.0}.get(n, 5 + spread(n)) for n in numbers],
        "point": [5.25 + spread(n) for n in numbers],
        "order": [{30: 6, 33: -1}.get(n, n % 3 if n % 2 else 3 + n // 2 % 2) for n in numbers],
        "function": ["root" if n % 2 else "wave" for n in numbers],
    }


def _dataset(number: int, rows: int) -> tuple[list[list[float]], list[float]]:
    """As many observations of two features, and what follows from them but for a little."""
    X = [[spread(37 * number + 3 * i), spread(59 * number + 7 * i + 5)] for i in range(rows)]
    y = [1 + 2 * a - 3 * b + spread(11 * number + i) / 16 for i, (a, b) in enumerate(X)]
    return X, y


def datasets() -> dict[str, Any]:
    made = [_dataset(number, 8) for number in range(24)]
    return {"id": range(24), "X": [X for X, _ in made], "y": [y for _, y in made]}


def ragged() -> dict[str, Any]:
    """Datasets of 3 to 16 observations, among them such as cannot be fitted, or not uniquely."""
    made: list[tuple[Any, Any]] = [_dataset(number, 3 + number % 14) for number in range(32)]
    made[4] = ([[x, 2 * x] for x, _ in made[4][0]], made[4][1])  # rank deficient
    made[9] = ([[1.0, 1.0]] * len(made[9][0]), made[9][1])
    made[13] = (None, made[13][1])
    made[15] = (made[15][0], [None, *made[15][1][1:]])
    made[18] = (made[18][0], made[18][1][:-1])  # of two lengths
    made[25] = (made[25][0], [NAN, *made[25][1][1:]])
    made[27] = (made[27][0][:1], made[27][1][:1])  # fewer observations than coefficients
    lists = pa.list_(pa.list_(pa.float64()))
    return {"id": range(32), "X": pa.array([X for X, _ in made], lists), "y": [y for _, y in made]}


def observations(file: int) -> dict[str, Any]:
    """Of three sites in two seasons, in no order; a site without a name is one too."""
    numbers = range(24 * file, 24 * file + 24)
    rain, sun = [spread(n) for n in numbers], [spread(3 * n + 1) for n in numbers]
    growth = [0.5 + 2 * a - b + spread(5 * n) / 16 for n, a, b in zip(numbers, rain, sun, strict=True)]
    return {
        "site": [(None, "north", "south")[n * 31 % 7 % 3] for n in numbers],
        "season": pa.array([n % 2 for n in numbers], pa.int8()),
        "rain": [None if n % 41 == 7 else value for n, value in zip(numbers, rain, strict=True)],
        "sun": [1.0 if n * 31 % 7 % 3 == 2 else value for n, value in zip(numbers, sun, strict=True)],  # singular
        "growth": [NAN if n == 35 else value for n, value in zip(numbers, growth, strict=True)],
    }


def vectors() -> dict[str, Any]:
    numbers = range(30)
    return {
        "text": [f"row {n}" for n in numbers],
        "x": [{4: None, 8: NAN, 16: 0.0}.get(n, spread(n)) for n in numbers],
        "y": pa.array([n % 7 - 3 for n in numbers], pa.int8()),
        "number": pa.array([{21: None}.get(n, 2**60 + n) for n in numbers], pa.int64()),
    }


def lists() -> dict[str, Any]:
    numbers = range(24)
    values: list[Any] = [[spread(n + i) for i in range(n % 9)] for n in numbers]
    values[5] = None
    values[7] = [1.0, None]
    values[14] = [INFINITE, 1.0]
    return {
        "id": numbers,
        "kind": pa.array([{9: 2, 10: None}.get(n, n % 2) for n in numbers], pa.int8()),
        "values": pa.array(values, pa.list_(pa.float64())),
    }
