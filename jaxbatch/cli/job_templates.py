"""A small runnable job for each kernel: what ``jaxbatch init`` writes and ``jaxbatch kernels NAME`` shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import JobError, nearest


@dataclass(frozen=True)
class JobTemplate:
    """A job's TOML, its file of functions (if any) and its tasks. ``more`` has other [params], by what they do."""

    job: str
    functions: str | None
    tasks: Callable[[], pa.Table]
    more: Mapping[str, str] = field(default_factory=dict)


def _points() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"id": np.arange(1000), "x": rng.uniform(0.5, 4.0, 1000)})


def _expansions() -> pa.Table:
    return pa.table({"center": [49.0, 49.0, 1.0], "point": [43.0, 52.0, 1.5], "order": [5, 8, 3]})


def _datasets() -> pa.Table:
    rng = np.random.default_rng(0)
    rows: dict[str, list[object]] = {"id": [], "X": [], "y": []}
    for number in range(100):
        X = rng.normal(size=(rng.integers(20, 60), 2))
        rows["id"].append(number)
        rows["X"].append(X.tolist())
        rows["y"].append((1.0 + X @ [2.0, -3.0] + 0.1 * rng.normal(size=len(X))).tolist())
    return pa.table(rows)


_FUNCTION = '''import jax.numpy as jnp


def f(x):
    """Any JAX function of one row's columns; each argument takes the column of its name."""
    return jnp.exp(-x) * jnp.sin(3 * x)
'''

_RESULTS = '''import jax.numpy as jnp


def f(x):
    """Any JAX function of one row's columns; each result becomes a column."""
    return {"wave": jnp.sin(3 * x), "decay": jnp.exp(-x)}
'''

_JOB = """kernel = "{kernel}"

[params]
{params}

[input]
path = "tasks.parquet"

[output]
path = "results/{{name}}"
"""

_GREEKS = """[params]
function = "functions.py:price"                  # def price(spot, vol, maturity): …
wrt = ["spot", "vol"]
partials = ["spot", "vol", "spot,spot", "spot,vol"]
"""

_LONG = """[params]
target = "returns"
features = ["market", "size"]
group_by = ["instrument"]
"""

_SEVERAL = """[params]
functions = { sqrt = "jax.numpy:sqrt", exp = "jax.numpy:exp" }
"""

_INTEGERS = """[params]
function = "functions.py:simulated"              # def simulated(seed, spot): …
integers = ["seed"]
"""

TEMPLATES = {
    "apply": JobTemplate(
        _JOB.format(kernel="apply", params='function = "functions.py:f"'),
        _RESULTS,
        _points,
        {"Identifiers and seeds come whole, however large": _INTEGERS},
    ),
    "derivatives": JobTemplate(
        _JOB.format(kernel="derivatives", params='function = "functions.py:f"\norder = 2'),
        _FUNCTION,
        _points,
        {"Some derivatives of several arguments: value, d_spot, d_vol, d_spot_spot and d_spot_vol": _GREEKS},
    ),
    "regression": JobTemplate(
        _JOB.format(kernel="regression", params='method = "auto"'),
        None,
        _datasets,
        {"Rows that are observations, a regression for each instrument": _LONG},
    ),
    "taylor": JobTemplate(
        _JOB.format(kernel="taylor", params='function = "jax.numpy:sqrt"'),
        None,
        _expansions,
        {"Several functions, of which the column 'function' picks one per row": _SEVERAL},
    ),
}


def template(kernel: str) -> JobTemplate:
    """The template of a built-in kernel.

    Raises:
        JobError: there is no such kernel.
    """
    if kernel not in TEMPLATES:
        raise JobError(f"There is no kernel '{kernel}'.", nearest(kernel, list(TEMPLATES)))
    return TEMPLATES[kernel]


def job_text(kernel: str) -> str:
    """The job file of a kernel's template, as TOML."""
    return template(kernel).job


def write(kernel: str, folder: Path) -> list[Path]:
    """Write a kernel's job, functions and tasks, and return their paths. Nothing that exists is overwritten.

    Raises:
        JobError: there is no such kernel, or one of the files exists.
    """
    chosen = template(kernel)
    job, functions, tasks = folder / "job.toml", folder / "functions.py", folder / "tasks.parquet"
    for path in (job, functions, tasks):
        if path.exists() and (path != functions or chosen.functions):
            raise JobError(f"{path} already exists.", "Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    job.write_text(chosen.job, encoding="utf-8")
    if chosen.functions:
        functions.write_text(chosen.functions, encoding="utf-8")
    pq.write_table(chosen.tasks(), tasks)
    return [job, *([functions] if chosen.functions else []), tasks]
