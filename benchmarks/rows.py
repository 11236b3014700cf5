"""Rows chosen by a condition, and joined to a table: 20 million points, with and without, whole processes in turn.

    python benchmarks/rows.py [where] [lookup] [keys] …

where: all rows; 1 % of them, in one stretch, so that footers rule out the rest; 1 % of them everywhere; all of them.
lookup: √(x · spot), where spot is a constant; or a column of a table of 10,000 rows, joined by a number or a text that
the files have, and that is kept, either way.
keys: a sample of 1 %, by file and place and by id; a random key of which nothing but its first bits is used.
BENCH_SCALE=0.1 takes a tenth of the rows.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, Way, bar, in_turn, jaxbatch, machine, show

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
FILES, FILE_ROWS = 20, int(1_000_000 * SCALE)


def points(folder: Path) -> None:
    """Files of a row group each, with ``id`` ascending over all of them and ``x`` at random in [0.1, 9.1)."""
    folder.mkdir()
    rng = np.random.default_rng(25)
    for number in range(FILES):
        first = number * FILE_ROWS
        columns = {"id": np.arange(first, first + FILE_ROWS), "x": 0.1 + 9 * rng.random(FILE_ROWS)}
        pq.write_table(pa.table(columns), folder / f"{number:02}.parquet")


def chosen(condition: str) -> Way:
    """A run of the rows that pass a condition."""
    return Way(jaxbatch("run", "job.toml", "--quiet", "--set", f'input.where="{condition}"'), "ours", repeats=5)


def where(folder: Path) -> None:
    """What a condition costs, and what it saves."""
    (folder / "one.toml").write_text(SQRT_JOB.replace("TASKS", "tasks/00.parquet"))
    everything = Way(jaxbatch("run", "job.toml", "--quiet"), "ours", repeats=5)
    ways = {
        "no condition": everything,
        "1 % in one stretch": chosen(f"id < {FILES * FILE_ROWS // 100}"),
        "1 % everywhere": chosen("x < 0.19"),
        "all pass": chosen("x > 0 and id is not None"),
        "one row, no condition": Way(jaxbatch("run", "one.toml", "--quiet", "--limit", "1"), "ours", repeats=5),
    }
    in_turn(ways, folder)
    show(f"{FILES * FILE_ROWS:,} points in {FILES} files", ways, "no condition")
    bar("1 % in one stretch / no condition", ways["1 % in one stretch"].seconds / everything.seconds, 0.15)
    bar("1 % everywhere / no condition", ways["1 % everywhere"].seconds / everything.seconds, 0.4)
    bar("all pass / no condition", ways["all pass"].seconds / everything.seconds, 1.1)


KEYS = 10_000

PRICE = "import jax.numpy as jnp\n\n\ndef f(x, spot):\n    return jnp.sqrt(x * spot)\n"

LOOKUP = """
[input.lookup.market]
path = "market.parquet"
on = ["KEY"]
columns = ["spot"]
"""


def positions(folder: Path) -> None:
    """Files with a number and a text for a key, each of which has a row in the table that is written beside them."""
    rng = np.random.default_rng(26)
    (folder / "positions").mkdir()
    texts = pa.array([f"TICKER{number:05}" for number in range(KEYS)])
    for number in range(FILES):
        key = rng.integers(0, KEYS, FILE_ROWS)
        columns = {"number": key, "x": 0.1 + 9 * rng.random(FILE_ROWS), "text": texts.take(pa.array(key))}
        pq.write_table(pa.table(columns), folder / f"positions/{number:02}.parquet")
    order = rng.permutation(KEYS)
    market = {"number": order, "text": texts.take(pa.array(order)), "spot": 0.5 + rng.random(KEYS)}
    pq.write_table(pa.table(market), folder / "market.parquet")
    (folder / "price.py").write_text(PRICE)


def joined(folder: Path, key: str | None) -> Way:
    """A run with ``spot`` joined by a key, or as a constant."""
    spot = LOOKUP.replace("KEY", key) if key else "constants = { spot = 1.0 }\n"
    job = SQRT_JOB.replace("jax.numpy:sqrt", "price.py:f").replace("order = 2", 'order = 2\nwrt = ["x"]')
    job = job.replace('path = "TASKS"', f'path = "positions"\n{spot}')
    (folder / f"by-{key}.toml").write_text(job)
    return Way(jaxbatch("run", f"by-{key}.toml", "--quiet"), "ours", repeats=5)


def lookup(folder: Path) -> None:
    """What a join costs."""
    positions(folder)
    ways = {"a constant": joined(folder, None)}
    ways |= {f"joined by a {key}": joined(folder, key) for key in ("number", "text")}
    in_turn(ways, folder)
    show(f"{FILES * FILE_ROWS:,} points in {FILES} files, a table of {KEYS:,} keys", ways, "a constant")
    for key in ("number", "text"):
        bar(f"joined by a {key} / a constant", ways[f"joined by a {key}"].seconds / ways["a constant"].seconds, 1.3)


DRAW = """import jax

def plain(x):
    return {"y": x, "bits": x}

def drawn(x, key):
    return {"y": x, "bits": jax.random.key_data(key)[0]}
"""


def keys(folder: Path) -> None:
    """What drawing for rows costs, in seconds of all cores."""
    (folder / "draw.py").write_text(DRAW)
    head = 'kernel = "apply"\n[params]\nfunction = "draw.py:NAME"\n[input]\npath = "tasks"\n[output]\npath = "ours"\n'
    (folder / "plain.toml").write_text(head.replace("NAME", "plain"))
    (folder / "drawn.toml").write_text(head.replace("NAME", "drawn") + "[compute]\nseed = 7\n")

    def run(job: str, *more: str) -> Way:
        given = [word for each in more for word in ("--set", each)]
        return Way(jaxbatch("run", job, "--quiet", *given), "ours", repeats=3)

    ways = {
        "every row": run("job.toml"),
        "1 % by file and place": run("job.toml", "input.sample=0.01"),
        "1 % by id": run("job.toml", "input.sample=0.01", 'input.key_by=["id"]'),
        "no key": run("plain.toml"),
        "a key by file and place": run("drawn.toml"),
        "a key by id": run("drawn.toml", 'input.key_by=["id"]'),
    }
    in_turn(ways, folder)
    show(f"{FILES * FILE_ROWS:,} points in {FILES} files", ways, "every row")
    for ours, than in {
        "1 % by file and place": "every row",
        "1 % by id": "every row",
        "a key by file and place": "no key",
        "a key by id": "no key",
    }.items():
        spent = [statistics.median(ways[name].cpu) for name in (ours, than)]
        print(f"CPU seconds of {ours} / {than}: {spent[0] / spent[1]:.2f}")


BENCHES: dict[str, Callable[[Path], None]] = {"where": where, "lookup": lookup, "keys": keys}


def main() -> None:
    """Run the benches that are named, or all."""
    print(machine(("jax", "pyarrow")))
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        points(folder / "tasks")
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks"))
        for name in sys.argv[1:] or BENCHES:
            BENCHES[name](folder)


if __name__ == "__main__":
    main()
