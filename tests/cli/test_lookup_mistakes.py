"""Mistakes in a lookup: each message says where the mistake is and what to do, before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.test_mistakes import instead, run_folder

JOB = """kernel = "apply"
[params]
function = "own.py:f"
[input]
path = "tasks.parquet"
[input.lookup.market]
path = "market.parquet"
on = { ticker = "symbol" }
columns = ["spot"]
[output]
path = "results"
"""
OWN = "def f(x, spot):\n    return x * spot\n\ndef g(x, spot=1.0):\n    return x * spot\n"
MARKET = {"symbol": ["A", "B"], "spot": [1.0, 2.0], "id": [1, 2], "name": ["a", "b"]}

ON = instead('on = { ticker = "symbol" }\n', "ON\n")


def on(text: str) -> Callable[[str], str]:
    return lambda job: ON(job).replace("ON\n", f"on = {text}\n")


def market(**columns: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        pq.write_table(pa.table({**MARKET, **columns}), folder / "market.parquet")

    return write


def nothing(folder: Path) -> None:
    del folder


def damaged(folder: Path) -> None:
    (folder / "market.parquet").write_bytes(b"PAR1 and no more")


def delta(folder: Path) -> None:
    (folder / "table/_delta_log").mkdir(parents=True)
    pq.write_table(pa.table(MARKET), folder / "table/1.parquet")


def unfinished(folder: Path) -> None:
    (folder / "table/data").mkdir(parents=True)
    (folder / "table/_jaxbatch").mkdir()
    (folder / "table/_jaxbatch/plan.json").write_text("{}")
    pq.write_table(pa.table(MARKET), folder / "table/data/part-0000000-01234567.parquet")


def of_two_types(folder: Path) -> None:
    (folder / "table").mkdir()
    pq.write_table(pa.table(MARKET), folder / "table/1.parquet")
    pq.write_table(pa.table({**MARKET, "symbol": ["C", "D"], "spot": [1, 2]}), folder / "table/2.parquet")


def large(folder: Path) -> None:
    numbers = pa.array(range(40_000_000), pa.int32())
    pq.write_table(pa.table({"symbol": numbers, "spot": numbers}), folder / "market.parquet")


TABLE = instead('"market.parquet"', '"table"')

MISTAKES: dict[str, tuple[Callable[[str], str], Callable[[Path], None], tuple[str, ...]]] = {
    # edit of the job; what is done to the folder; words of the message
    "no name": (
        instead("lookup.market", "lookup"),
        nothing,
        ("line 6", "a lookup needs a name", "[input.lookup.market]"),
    ),
    "a key misspelt": (instead("columns =", "colums ="), nothing, ("line 9", "market.colums", "mean 'columns'?")),
    "no key": (instead('on = { ticker = "symbol" }\n', ""), nothing, ("'input.lookup.market.on' is missing",)),
    "a key without brackets": (on('"ticker"'), nothing, ("line 8", 'on = ["id"], or on = { ours = "theirs" }')),
    "no such file": (
        instead("market.p", "markt.p"),
        nothing,
        ("line 7", "markt.parquet does not exist", "Paths start"),
    ),
    "a file that is none": (str, damaged, ("line 7", "market.parquet: it is not readable as Parquet", "Replace")),
    "our column misspelt": (on('{ tickr = "symbol" }'), nothing, ("line 8", "the input has no", "mean 'ticker'?")),
    "their column misspelt": (
        on('["ticker"]'),
        nothing,
        ("line 8", "the table has no column 'ticker'", 'ticker = "…"'),
    ),
    "a float for a key": (
        on('{ x = "spot" }'),
        nothing,
        ("line 8", "'x' is double, which cannot be a key", "integers"),
    ),
    "keys of two kinds": (
        on('{ ticker = "id" }'),
        nothing,
        ("line 8", "'ticker' of the input is string, but 'id' of the table is int64", "Cast one"),
    ),
    "a column misspelt": (instead('["spot"]', '["spt"]'), nothing, ("line 9", "no column 'spt'", "mean 'spot'?")),
    "a column named twice": (instead('["spot"]', '["spot", "spot"]'), nothing, ("line 9", "named twice")),
    "a name that the files have": (
        instead('["spot"]', '["spot", "id"]'),
        nothing,
        ("line 6", "column 'id' has a name that the files have too", 'prefix = "market_"'),
    ),
    "a name that another lookup has": (
        instead("[output]", '[input.lookup.again]\npath = "market.parquet"\non = { id = "id" }\n[output]'),
        nothing,
        ("line 10", "column 'spot' has a name that lookup 'market' has too", 'prefix = "again_"'),
    ),
    "a key that is there twice": (
        str,
        market(symbol=["A", "A"]),
        ("line 7", "the key symbol = A is there twice, in rows 0 and 1", "Keep one row for each key"),
    ),
    "a default or a column": (
        instead("own.py:f", "own.py:g"),
        nothing,
        ("'spot' has a default", 'columns = { spot = "spot" } uses the column; defaults = ["spot"] keeps'),
    ),
    "a column in where": (
        instead("tasks.parquet", 'tasks.parquet"\nwhere = "spot > 1.0'),
        nothing,
        ("line 6", "spot"),
    ),
    "a table of Delta": (TABLE, delta, ("line 7", "is a Delta table", "file_uris()")),
    "an unfinished output": (TABLE, unfinished, ("line 7", "table is an output whose run is not finished", "Run its")),
    "the job's own output": (
        instead('"market.parquet"', '"results"'),
        lambda folder: (folder / "results").mkdir(),
        ("line 7", "results lies in the lookup folder", "a folder of its own"),
    ),
    "an output around it": (
        instead('path = "results"', 'path = "."'),
        nothing,
        ("lies in", "a folder of its own"),
    ),
    "files of two types": (TABLE, of_two_types, ("line 7", "2.parquet: column 'spot' is int64", "Replace")),
    "a table too large": (on('{ id = "symbol" }'), large, ("line 7", "are about 305 MiB in memory", "Join a large")),
    "a column to keep that is not joined": (
        instead("[input.lookup", 'keep = ["id", "name"]\n[input.lookup'),
        nothing,
        ("no column 'name'",),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_with_its_place_and_remedy(mistake, tmp_path, capfd):
    edit, spoil, words = MISTAKES[mistake]
    pq.write_table(pa.table({"id": [1], "x": [1.0], "ticker": ["A"]}), tmp_path / "tasks.parquet")
    pq.write_table(pa.table(MARKET), tmp_path / "market.parquet")
    (tmp_path / "own.py").write_text(OWN)
    spoil(tmp_path)
    (tmp_path / "job.toml").write_text(edit(JOB))
    ended, err = run_folder(tmp_path, capfd)
    assert ended == 4, err
    for each in words:
        assert each in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 3
    assert not (tmp_path / "results/_jaxbatch").exists()
