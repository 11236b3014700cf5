"""Writes the sample tasks of the jobs in this folder to jobs/tasks, the same ones each time."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TASKS = Path(__file__).parent / "tasks"


def main() -> None:
    rng = np.random.default_rng(20261122)
    write("gradient", {"x": [1.0, -2.0, 0.0, 0.5]})
    write("sqrt-taylor", {"center": [49.0] * 6, "point": [43.0] * 6, "order": [1, 2, 3, 4, 5, 30]})
    write("notebook", notebook())
    write("several-functions", several_functions(rng))
    write("loans", {"principal": rng.uniform(1e4, 1e6, 100).round(2), "rate": rng.uniform(0.0, 0.01, 100).round(5)})
    for number in range(3):
        write(f"regression/{number}", datasets(rng, 200))
    for number in range(3):
        write(f"observations/{number}", observations(rng, 5_000))
    for number, rows in enumerate((40_000, 25_000, 35_000)):
        write(f"positions/{number}", positions(rng, rows))


def write(name: str, columns: dict) -> None:
    path = TASKS / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=20_000)


def notebook() -> dict:
    """The notebook's data, by the random stream of its day: x1 and x2 come from one key, so x2 is 3·x1."""
    with jax.threefry_partitionable(False), jax.enable_x64(False):
        draw = jax.random.normal(jax.random.PRNGKey(42), (1000, 1))
        x1, x2 = draw, 3 * draw
        y = 3 * x1 + 2 * x2 + 1 + 0.001 * draw
        columns = {"x1": x1, "x2": x2, "y": y}
    lists = {name: [np.asarray(jnp.ravel(column)).tolist()] for name, column in columns.items()}
    return {name: pa.array(values, pa.list_(pa.float32())) for name, values in lists.items()}


def several_functions(rng: np.random.Generator) -> dict:
    rows = 30
    return {
        "function": rng.choice(["square", "sqrt", "log1p_squared"], rows).tolist(),
        "x": rng.uniform(0.1, 3.0, rows),
        "order": rng.integers(0, 5, rows),
    }


def datasets(rng: np.random.Generator, count: int) -> dict:
    X, y = [], []
    for _ in range(count):
        rows, features = rng.integers(30, 120), rng.integers(1, 5)
        design = rng.normal(size=(rows, features))
        X.append(design.tolist())
        y.append((1.0 + design @ np.arange(1, features + 1) + 0.1 * rng.normal(size=rows)).tolist())
    return {"site": list(range(count)), "X": X, "y": y}


def observations(rng: np.random.Generator, rows: int) -> dict:
    site = rng.integers(0, 50, rows)
    rain, sun = rng.gamma(2.0, 30.0, rows), rng.uniform(0.0, 14.0, rows)
    growth = 5.0 + 0.02 * site + 0.1 * rain + 0.5 * sun + rng.normal(size=rows)
    return {"site": [f"site-{number:02d}" for number in site], "rain": rain, "sun": sun, "growth": growth}


def positions(rng: np.random.Generator, rows: int) -> dict:
    spot = rng.uniform(20, 200, rows)
    return {
        "id": rng.integers(0, 10**9, rows),
        "spot": spot.round(2),
        "strike": (spot * rng.uniform(0.7, 1.4, rows)).round(0),
        "vol": rng.uniform(0.1, 0.6, rows).round(4),
        "maturity": (rng.integers(5, 800, rows) / 365).round(6),
        "call": rng.choice([1.0, -1.0], rows),
    }


if __name__ == "__main__":
    main()
