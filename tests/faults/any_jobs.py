"""Job files of any text, most of them near to what runs."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from hypothesis import strategies as st

from jaxbatch.cli import job_templates
from tests.faults.harmless import ELSEWHERE, HARMLESS, Trial

JOBS: dict[str, str] = {
    **{kernel: job_templates.job_text(kernel) for kernel in job_templates.TEMPLATES},
    "several": """
kernel = "derivatives"
params = { functions = { f = "functions.py:f", sin = "jax.numpy:sin" }, order = 1 }
input = { path = ["tasks.parquet"], constants = { function = "f" } }
output = { path = "results", columns = { d1 = "slope" } }
limits.max_failed_rows = "10%"
""",
    "two": """
kernel = "derivatives"
params = { function = "functions.py:g", order = 2, partials = ["x,y"], wrt = ["x", "y"] }
input = { path = "*.parquet", columns = { y = "point" }, keep = ["id"] }
output = { path = "{name}/out", rows_per_part = 3, compression = "zstd" }
compute = { precision = "float32", batch_rows = 4 }
""",
    "long": """
kernel = "regression"
params = { features = ["x"], target = "point", group_by = ["id"], ridge = 0.5 }
input.path = "tasks.parquet"
output.path = "results"
cluster = { workers = 2, attempts = 1, part_timeout_s = 30 }
""",
    "descent": """
kernel = "regression"
params = { method = "gradient_descent", max_steps = 50, initial = [0, 0, 0], nulls = "drop" }
input.path = "tasks.parquet"
output.path = "results"
""",
}

KEYS = [
    *["kernel", "name", "params", "input", "output", "compute", "cluster", "limits", "storage", ""],
    *[f"input.{key}" for key in ("path", "columns", "constants", "keep", "on_bad_file", "defaults")],
    *[f"input.constants.{key}" for key in ("x", "y", "function", "order", "center", "X", "n", "status", "")],
    *[f"input.columns.{key}" for key in ("x", "y", "function", "order", "center", "X", "n", "status", "")],
    *[f"output.{key}" for key in ("path", "columns", "rows_per_part", "compression", "columns.d1", "columns.status")],
    *[
        "compute.device",
        "compute.precision",
        "compute.batch_rows",
        "limits.max_failed_rows",
        "storage.endpoint",
        "storage.anonymous",
    ],
    *[f"cluster.{key}" for key in ("workers", "cpus_per_worker", "gpus_per_worker", "attempts", "part_timeout_s")],
    *[f"params.{key}" for key in ("function", "functions", "order", "wrt", "partials", "max_order", "features")],
    *[f"params.{key}" for key in ("target", "group_by", "intercept", "ridge", "method", "weights", "nulls", "reset")],
    "params.integers",
    *[f"params.{key}" for key in ("learning_rate", "max_steps", "initial", "tolerance", "patience", "functions.f")],
]

_NAMES = ["x", "y", "X", "id", "center", "point", "order", "function", "status", "text", "nothing", "f", "sin", "n"]
_FUNCTIONS = [
    *HARMLESS,
    *[
        f"functions.py:{name}"
        for name in ("f", "g", "both", "fails", "stops", "NoKernel", "jnp", "__doc__", "h", "f.f")
    ],
    *["functions:f", "absent:f", "absent.py:f", ":f", "jax.numpy:", "::", "functions.py", ".py:f", "tasks.parquet:f"],
]
_WORDS = [
    *["apply", "derivatives", "taylor", "regression", "auto", "cholesky", "qr", "svd", "gradient_descent", "drop"],
    *["skip", "stop", "float32", "float64", "none", "zstd", "1%", "0.5%", "x,x", "x,y", "x,"],
]
_PATHS = [
    *["", ".", "..", "../..", "~", "tasks.parquet", "*.parquet", "**", "[", "[x", "results", "results/", "job.toml"],
    *[
        "job.toml/x",
        "functions.py",
        *ELSEWHERE,
        "a\0b",
        "\0",
        "a\nb",
        "{",
        "}",
        "{{}}",
        "{name}",
        "{x}",
    ],
    *["s3://", "s3:///x", "s3://a@b/c", "s3://a:1/c", "s3://a/../c", "gs://", "az://", "file:///x", "ftp://x", "://"],
    *[
        "x" * 300,
        "x/" * 3000,
        "é" * 200,
        "\u202e\u2028",
        "\x1b[31m",
        "\x7f",
        "C:\\x",
        "\\",
        "-",
        "--help",
        "%s",
        "=1/x=2",
    ],
]
_INTEGERS = [-1, 0, 1, 2, 3, 7, 130, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40]
_FLOATS = [0.0, -0.0, 0.5, 1e-300, 1e300, float("inf"), -float("inf"), float("nan")]

_integers = st.sampled_from(_INTEGERS)
_floats = st.sampled_from(_FLOATS)
strings = st.one_of(
    *map(st.sampled_from, (_NAMES, _FUNCTIONS, _WORDS, _PATHS)), st.text(st.characters(exclude_categories=["Cs"]))
)
scalars = st.one_of(
    strings,
    _integers,
    _floats,
    st.booleans(),
    st.booleans() | st.dates() | st.times() | st.datetimes(),
)
values = st.one_of(
    scalars,
    st.lists(st.sampled_from(_NAMES), max_size=3),
    st.dictionaries(st.sampled_from(_NAMES), scalars, max_size=3),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3)),
    st.integers(1, 400).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)


_names = st.sampled_from(_NAMES)
_PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("function", "f", "sin", "kernel"), st.sampled_from(_FUNCTIONS)),
    **dict.fromkeys(("path", "name"), st.sampled_from(_PATHS)),
    **dict.fromkeys(
        ("order", "max_order", "max_steps", "patience", "batch_rows", "rows_per_part", "workers"), _integers
    ),
    **dict.fromkeys(("attempts",), st.integers(1, 3)),
    **dict.fromkeys(("ridge", "learning_rate", "tolerance", "reset", "cpus_per_worker", "part_timeout_s"), _floats),
    **dict.fromkeys(("keep", "wrt", "features", "group_by"), st.lists(_names, max_size=3)),
    **dict.fromkeys(("target", "weights"), _names),
    "partials": st.lists(st.lists(_names, max_size=4).map(",".join), max_size=3),
    "columns": st.dictionaries(_names, strings, max_size=3),
    "constants": st.dictionaries(_names, values, max_size=3),
    "functions": st.dictionaries(_names, st.sampled_from(_FUNCTIONS), max_size=3),
    "initial": st.lists(_floats, max_size=4),
    "method": st.sampled_from(_WORDS),
}
"""What a key may well hold, so that more is tried than the refusal of a wrong type."""


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """A job that was changed, or any text."""
    name = draw(st.sampled_from(list(JOBS)))
    how = draw(st.sampled_from(["changed"] * 8 + ["damaged", "any"]))
    if how == "changed":
        text = toml(draw(_changed(tomllib.loads(JOBS[name])))).encode()
    elif how == "damaged":
        text = draw(_damaged(JOBS[name].encode()))
    else:
        text = draw(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
    return Trial(name, text, tuple(draw(st.just([]) | st.just([]) | _arguments)))


@st.composite
def _changed(draw: st.DrawFn, job: dict[str, Any]) -> dict[str, Any]:
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        *tables, last = draw(st.sampled_from(list(_paths(job)) or [("kernel",)]) | st.sampled_from(KEYS).map(_path))
        table = job
        for each in tables:
            inner = table.get(each)
            table = table.setdefault(each, {}) if isinstance(inner, dict | None) else {}
        what = draw(st.sampled_from(["set", "set", "set", "remove", "rename"]))
        if what == "set":
            table[last] = draw(_PLAUSIBLE.get(last, values) if draw(st.integers(0, 3)) else values)
        elif last in table:
            value = table.pop(last)
            if what == "rename":
                table[draw(strings)] = value
    return job


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def _paths(job: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in job.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


@st.composite
def _damaged(draw: st.DrawFn, text: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(st.binary(max_size=4) | strings.map(str.encode)) + text[end:]
    return text


_any_text = st.text(st.characters(exclude_characters="\0"))  # also what no encoding has: arguments may be any bytes
_arguments = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([key for key in KEYS if key]), values).map(
            lambda kv: f"--set={kv[0]}={_inline(kv[1])}"
        ),
        _any_text.map("--set={}".format),
        st.tuples(st.sampled_from("xy"), strings | _any_text).map(lambda kv: f"--var={kv[0]}={kv[1]}"),
        _any_text.map("--var={}".format),
    ).filter(lambda argument: "\0" not in argument),
    max_size=2,
)


def toml(job: Mapping[str, Any]) -> str:
    """A job as TOML, with its tables under headings."""
    flat = [f"{_inline(key)} = {_inline(value)}" for key, value in job.items() if not isinstance(value, dict)]
    for key, value in job.items():
        if isinstance(value, dict):
            flat += [f"[{_inline(key)}]", *(f"{_inline(inner)} = {_inline(each)}" for inner, each in value.items())]
    return "\n".join(flat)


def _inline(value: Any) -> str:
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_inline(key)} = {_inline(each)}' for key, each in value.items())} }}"
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)
