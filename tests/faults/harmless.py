"""A folder in which any job can be tried: nothing leads out of it, to a network or to code of others."""

import importlib.util
import json
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.storage import urls

ELSEWHERE = ("/dev/null", "/dev/null/x")
"""Paths out of the folder that do no harm."""

HARMLESS = tuple(
    f"jax.numpy:{name}" for name in ("sin", "sqrt", "linalg.norm", "pi", "ndarray", "float32", "sum", "no")
)
"""Of the references to modules those that may be followed."""

DEPTH = ("up", "down")
"""The job's folder within the one that paths must not leave."""

FUNCTIONS = """import jax.numpy as jnp


class NoKernel:
    pass


def f(x):
    return {"wave": jnp.sin(3 * x), "decay": jnp.exp(-x)}["wave"]


def g(x, y=1.0, *, z=2.0):
    return x * y**2 + z


def both(x):
    return {"wave": jnp.sin(3 * x), "": jnp.exp(-x)}


def fails(x):
    raise ValueError("three\\nlines\\nof {braces}")


def stops(x):
    raise SystemExit(7)
"""


@dataclass(frozen=True)
class Trial:
    """A job file with the arguments of its command line, beside the tasks of a sample."""

    tasks: str
    text: bytes
    arguments: tuple[str, ...] = ()


def is_harmless(trial: Trial, root: Path) -> bool:
    """Whether all that a trial names is below ``root``, malformed, or one of the functions above."""
    texts = [trial.text.decode(errors="replace")]
    for argument in trial.arguments:
        option, _, text = argument.partition("=")
        if option == "--set":
            texts.append(text)
        elif not _is_harmless(text.partition("=")[2], root):
            return False
    for text in texts:
        try:
            raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        if "address" in json.dumps(raw.get("cluster"), default=str):
            return False
        if not all(_is_harmless(string, root) for string in _strings(raw)):
            return False
    return True


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _is_harmless(text: str, root: Path) -> bool:
    if urls.is_remote(text):
        try:
            urls.split(text)
        except ValueError:
            return True
        return False
    path = os.path.normpath(root.joinpath(*DEPTH, text))
    if not (path == str(root) or path.startswith(f"{root}/") or text in ELSEWHERE):
        return False
    module = text.rpartition(":")[0]
    if not module or text in HARMLESS or module.endswith(".py"):
        return True
    try:
        return importlib.util.find_spec(module.split(".")[0]) is None
    except (ValueError, ImportError):
        return True


def write_tasks(name: str, folder: Path) -> None:
    """A dozen rows with every column that a job may ask for."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 2.0, 12)
    columns: dict[str, Any] = {
        "id": np.arange(12) // 6,
        "x": x,
        "point": rng.uniform(0.5, 2.0, 12),
        "text": [f"text {number}" for number in range(12)],
    }
    if name == "taylor":
        columns |= {"center": x, "order": rng.integers(0, 4, 12)}
    if name in ("regression", "descent"):
        columns |= {"X": rng.normal(size=(12, 9, 2)).tolist(), "y": rng.normal(size=(12, 9)).tolist()}
    pq.write_table(pa.table(columns), folder / "tasks.parquet")
    (folder / "functions.py").write_text(FUNCTIONS)
