"""What has a default takes a column of its name only where the job says so; and the plan says what everything took."""

import json
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

import jaxbatch
from jaxbatch import api
from jaxbatch.errors import JobError, OutputError
from jaxbatch.kernels.bind_context import shown
from tests.daily import DAILY, Daily

OWN = """
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from jaxbatch import Column, Kernel


def grown(x, rate=0.5, key=None, *, grid=jnp.ones(3), how=jnp.exp):
    return x * rate


def shrunk(x, rate=0.25):
    return x / rate


def needs(x, rate):
    return x + rate


def lone(x):
    return x


def ordered(x, order=3.0):
    return x * order


class Net:
    weight = 2.0

    def __call__(self, x, *, key=None):
        return self.weight * x


net = Net()


@dataclass(frozen=True)
class Growth(Kernel):
    rate: float = 0.5
    years: float = 2.0

    outputs = (Column("grown"),)

    def bind(self, source):
        defaults = {"rate": self.rate, "years": self.years}
        inputs = tuple(map(Column, ("x", *source.supplied(defaults))))
        return Bound(inputs=inputs, defaults=defaults).bind(source)


@dataclass(frozen=True, kw_only=True)
class Bound(Kernel):
    inputs: tuple
    defaults: dict
    outputs = Growth.outputs

    def row(self, **given):
        values = {**self.defaults, **given}
        return {"grown": values["x"] * values["rate"] * values["years"]}
"""

TASKS: dict[str, Any] = {"x": [1.0, 3.0], "rate": [0.1, 0.2], "key": ["a", "b"], "order": [0, 1], "price": [5.0, 7.0]}


@pytest.fixture
def own(bench):
    bench.file("own.py", OWN)
    bench.tasks(TASKS)
    return bench


def job(kernel: str, params: str, *lines: str) -> str:
    params = f"[params]\n{params}\n" if params else ""
    given = "".join(f"{line}\n" for line in lines)
    return f'kernel = "{kernel}"\n{params}[input]\npath = "tasks.parquet"\nkeep = []\n{given}'


def function(name: str) -> str:
    return f'function = "own.py:{name}"'


def refusal(bench: Any, text: str) -> str:
    with pytest.raises(JobError) as refused:
        bench.run(text)
    assert refused.value.exit_code == 4
    assert len(str(refused.value).splitlines()) == 2
    assert not (bench.folder / "results").exists()
    return str(refused.value)


def lines_of(message: str) -> list[str]:
    """The lines to choose from that a refusal offers."""
    return re.findall(r"columns = \{.*?\}|defaults = \[.*?\]", message)


APPLY, DERIVATIVES = "apply", "derivatives"

UNDECIDED: dict[str, tuple[str, str, list[str], list[str], list[dict[str, str]]]] = {
    # the kernel, its params, what the job says already; the lines that are offered; what each argument takes then
    "of apply": (
        *(APPLY, function("shrunk"), []),
        ['columns = { rate = "rate" }', 'defaults = ["rate"]'],
        [{"rate": "column rate"}, {"rate": "default 0.25"}],
    ),
    "all in one message, the kernel's own too": (
        *(DERIVATIVES, function("shrunk"), []),
        ['columns = { rate = "rate", order = "order" }', 'defaults = ["rate", "order"]'],
        [{"rate": "column rate", "order": "column order"}, {"rate": "default 0.25", "order": "default 1"}],
    ),
    "one is decided": (
        *(APPLY, function("grown"), ['defaults = ["key"]']),
        ['columns = { rate = "rate" }', 'defaults = ["key", "rate"]'],
        [{"rate": "column rate", "key": "default None"}, {"rate": "default 0.5", "key": "default None"}],
    ),
    "one is mapped": (
        *(APPLY, function("grown"), ['columns = { x = "price" }', 'constants = { key = "no" }']),
        ['columns = { x = "price", rate = "rate" }', 'defaults = ["rate"]'],
        [{"x": "column price", "rate": "column rate", "key": 'constant "no"'}, {"rate": "default 0.5"}],
    ),
    "of a module": (
        *(APPLY, function("net"), []),
        ['columns = { key = "key" }', 'defaults = ["key"]'],
        [{}, {"key": "default None"}],  # a text, which no argument can be
    ),
    "order alone": (
        *(DERIVATIVES, f"{function('lone')}\norder = 3", []),
        ['columns = { order = "order" }', 'defaults = ["order"]'],
        [{"order": "column order"}, {"order": "default 3"}],
    ),
    "order, of partials": (
        *(DERIVATIVES, f'{function("needs")}\npartials = ["x,rate", "x"]', []),
        ['columns = { order = "order" }', 'defaults = ["order"]'],
        [{"order": "column order", "rate": "column rate"}, {"order": "default 2"}],
    ),
    "an argument that is called order": (
        *(DERIVATIVES, function("ordered"), []),
        ['columns = { order = "order" }', 'defaults = ["order"]'],
        [{"order": "column order"}, {"order": "default 3.0"}],
    ),
    "each function's own": (
        *(DERIVATIVES, 'functions = { g = "own.py:grown", s = "own.py:shrunk" }', ['constants = { function = "g" }']),
        ['columns = { rate = "rate", key = "key", order = "order" }', 'defaults = ["rate", "key", "order"]'],
        [{}, {"rate": "default 0.5 for own.py:grown, 0.25 for own.py:shrunk", "key": "default None"}],
    ),
    "of one's own kernel": (
        *("own.py:Growth", "", []),
        ['columns = { rate = "rate" }', 'defaults = ["rate"]'],
        [{"rate": "column rate", "years": "default 2.0"}, {"rate": "default 0.5"}],
    ),
    "of JAX": (
        *(APPLY, 'function = "jax.scipy.stats.norm:cdf"', ['columns = { loc = "price" }']),
        ['columns = { loc = "price", scale = "scale" }', 'defaults = ["scale"]'],
        [{"loc": "column price", "scale": "column scale"}, {"loc": "column price", "scale": "default 1"}],
    ),
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_a_column_that_may_be_meant_or_not_is_asked_about(case, own):
    kernel, params, given, offered, taken = UNDECIDED[case]
    if case == "of JAX":
        own.tasks({**TASKS, "scale": [2.0, 4.0]})
    message = refusal(own, job(kernel, params, *given))
    assert lines_of(message) == offered
    for line, took in zip(offered, taken, strict=True):
        kept = [each for each in given if each.split(" = ")[0] != line.split(" = ")[0]]
        text = job(kernel, params, *kept, line)
        if not took:
            with pytest.raises((JobError, jaxbatch.errors.InputError), match=r"'key' is string|'own.py:"):
                own.run(text)
            continue
        planned = jaxbatch.plan(own.job(text)).describe()["arguments"]
        assert {name: planned[name] for name in took} == took


@pytest.mark.parametrize(
    ("name", "lines", "values"),
    [
        ("shrunk", ['columns = { rate = "rate" }'], [1.0 / 0.1, 3.0 / 0.2]),
        ("shrunk", ['defaults = ["rate"]'], [4.0, 12.0]),
        ("shrunk", ["constants = { rate = 0.5 }"], [2.0, 6.0]),
        ("shrunk", ['columns = { rate = "price" }'], [0.2, 3.0 / 7.0]),
        ("needs", [], [1.1, 3.2]),
        ("needs", ["constants = { rate = 0.5 }"], [1.5, 3.5]),
        ("grown", ['columns = { rate = "rate" }', 'defaults = ["key", "grid"]'], [1.0 * 0.1, 3.0 * 0.2]),
        ("net", ['defaults = ["key"]'], [2.0, 6.0]),
        ("net", ['constants = { key = "any" }'], [2.0, 6.0]),
    ],
)
def test_what_is_decided_is_computed(name, lines, values, own):
    rows = own.rows(job("apply", function(name), *lines))
    assert [row["value"] for row in rows] == pytest.approx(values, rel=1e-15)
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_arguments_that_are_called_as_the_kernel_calls_its_own(own):
    bench = own
    bench.file("own.py", "def f(x, order=2.0, function=1.0):\n    return x * order**2 + function\n")
    bench.tasks({"x": [1.0, 2.0], "order": [3.0, 4.0], "function": [0.5, 0.25]})
    rows = bench.rows(job("derivatives", function("f"), 'columns = { order = "order", function = "function" }'))
    assert [(row["value"], row["d_order"], row["d_function"]) for row in rows] == [(9.5, 6.0, 1.0), (32.25, 16.0, 1.0)]
    rows = bench.rows(job("derivatives", function("f"), 'defaults = ["order", "function"]'))
    assert [(row["value"], row["d1"]) for row in rows] == [(5.0, 4.0), (9.0, 4.0)]


def test_a_column_called_order_that_is_no_order(own):
    own.tasks({"x": [2.0, 3.0], "order": [90001, 90002]})
    params = f"{function('lone')}\norder = 2"
    rows = own.rows(job("derivatives", params, 'defaults = ["order"]'))
    assert rows == [{"value": x, "d1": 1.0, "d2": 0.0, "status": "ok"} for x in (2.0, 3.0)]
    rows = own.rows(job("derivatives", params, 'columns = { order = "order" }') + '[limits]\nmax_failed_rows="100%"\n')
    assert [row["status"] for row in rows] == ["invalid_input"] * 2
    rows = own.rows(job("derivatives", params, "constants = { order = 1 }"))
    assert rows == [{"value": x, "d1": 1.0, "d2": None, "status": "ok"} for x in (2.0, 3.0)]


def test_a_distribution_beside_a_column_called_scale(own):
    own.tasks({"x": [0.3, -1.0], "scale": [7.0, 8.0], "loc": [1.0, 2.0]})
    cdf = 'function = "jax.scipy.stats.norm:cdf"'
    assert lines_of(refusal(own, job("apply", cdf)))[1] == 'defaults = ["loc", "scale"]'
    rows = own.rows(job("apply", cdf, 'defaults = ["loc", "scale"]'))
    assert [row["value"] for row in rows] == pytest.approx(norm.cdf([0.3, -1.0]), rel=1e-14)
    rows = own.rows(job("apply", cdf, 'columns = { scale = "scale" }', 'defaults = ["loc"]'))
    assert [row["value"] for row in rows] == pytest.approx(norm.cdf([0.3, -1.0], scale=[7.0, 8.0]), rel=1e-14)


def test_a_default_of_one_function_that_another_lacks(own):
    own.tasks({**TASKS, "function": ["s", "n"]})
    params = 'functions = { s = "own.py:shrunk", n = "own.py:needs" }'
    left = 'defaults = ["order"]'
    message = refusal(own, job("derivatives", params, left))
    assert lines_of(message) == ['columns = { rate = "rate" }'], "what one of them needs cannot be left"
    neither = refusal(own, job("derivatives", params, 'defaults = ["rate", "order"]'))
    assert "'rate' has no default in 'own.py:needs'" in neither
    rows = own.rows(job("derivatives", params, left, 'columns = { rate = "rate" }'))
    assert [row["value"] for row in rows] == pytest.approx([1.0 / 0.1, 3.0 + 0.2], rel=1e-15)
    rows = own.rows(job("derivatives", params, left, "constants = { rate = 0.5 }"))
    assert [row["value"] for row in rows] == [2.0, 3.5]


def test_functions_with_defaults_of_their_own(own):
    own.tasks({**TASKS, "function": ["g", "s"]})
    params = 'functions = { g = "own.py:grown", s = "own.py:shrunk" }'
    rows = own.rows(job("derivatives", params, 'defaults = ["rate", "order", "key"]'))
    assert [row["value"] for row in rows] == [0.5, 12.0]


def test_an_expansion_takes_no_column_for_what_has_a_default(own):
    own.tasks({"center": [2.0], "point": [3.0], "order": [1], "rate": [0.1]})
    plain = job("taylor", function("shrunk"))
    (row,) = own.rows(plain)
    assert (row["coefficients"], row["true_value"]) == ([8.0, 4.0], 12.0)
    assert jaxbatch.plan(own.job(plain)).arguments == {
        **{name: f"column {name}" for name in ("center", "point", "order")},
        "rate": "default 0.25",
    }
    (row,) = own.rows(job("taylor", function("shrunk"), 'defaults = ["rate"]'))
    assert row["true_value"] == 12.0
    assert "'order' has a default" in refusal_of_defaults(own, "taylor", function("shrunk"), "order")


def refusal_of_defaults(bench: Any, kernel: str, params: str, name: str, *lines: str) -> str:
    with pytest.raises(JobError) as refused:
        bench.run(job(kernel, params, f'defaults = ["{name}"]', *lines), restart=True)
    assert "line " in str(refused.value)
    assert "key 'input.defaults'" in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("kernel", "name", "lines", "words"),
    [
        ("apply", "rat", [], "no argument or optional input 'rat' has a default.\nDid you mean 'rate'?"),
        ("apply", "x", [], "'x' has a default"),
        ("derivatives", "ordr", ["constants = { rate = 1, order = 1 }"], "Did you mean 'order'?"),
        ("apply", "rate", ["constants = { rate = 1.0 }"], "'rate' also has a constant"),
        ("apply", "rate", ['columns = { rate = "price" }'], "'rate' also has a column"),
        ("regression", "y", ['columns = { X = "X" }'], "'y' has a default"),
    ],
)
def test_defaults_that_leave_nothing_are_refused(kernel, name, lines, words, own):
    own.tasks({"x": [1.0], "price": [1.0], "X": pa.array([[[1.0]] * 4]), "y": [[1.0, 2.0, 3.0, 4.0]]})
    params = "" if kernel == "regression" else function("shrunk")
    assert words in refusal_of_defaults(own, kernel, params, name, *lines)


def test_a_default_whose_column_is_not_there(own):
    own.tasks({"x": [2.0]})
    (row,) = own.rows(job("apply", function("grown"), 'defaults = ["rate", "key"]'))
    assert row["value"] == 1.0


def test_what_is_left_belongs_to_the_identity(own):
    own.tasks({"x": [2.0]})
    left = [[], ["rate"], ["key", "rate"], ["rate", "key", "rate"]]
    prints = [
        jaxbatch.plan(own.job(job("apply", function("grown"), f"defaults = {json.dumps(names)}"))).fingerprint
        for names in left
    ]
    assert len(set(prints)) == 3
    assert prints[2] == prints[3], "neither order nor repetition means anything"
    own.run(job("apply", function("grown")))
    with pytest.raises(OutputError, match=r"input.defaults was \[\], is \[\"rate\"\]"):
        own.run(job("apply", function("grown"), 'defaults = ["rate"]'))


def test_the_command_shows_what_each_argument_takes(own, jaxbatch):
    text = job("derivatives", function("grown"), 'columns = { x = "price" }', "constants = { rate = 0.1 }")
    own.job(text + 'defaults = ["key", "order"]\n[output]\npath = "results"\n')
    shown = jaxbatch("plan", "job.toml")
    assert shown.returncode == 0, shown.stderr
    section = shown.stdout.partition("\narguments\n")[2].partition("\n\n")[0]
    expected = {
        **{"x": "column price", "rate": "constant 0.1", "key": "default None", "grid": "default float64[3]"},
        **{"how": "default exp", "order": "default 1"},
    }
    assert dict(line.split(maxsplit=1) for line in section.splitlines()) == expected
    printed = json.loads(jaxbatch("plan", "job.toml", "--json").stdout)
    assert printed["arguments"] == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, "None"), (0.5, "0.5"), ("call", "'call'"), (True, "True"), ((1, 2.0, "a"), "[1, 2.0, 'a']")],
        *[(jnp.ones((2, 3), "float32"), "float32[2, 3]"), (np.arange(3), "int64[3]"), (jnp.tanh, "tanh")],
        *[(np.float32, "float32"), (jnp.float32, "float32"), (np.dtype("int8"), "Int8DType"), (object(), "object")],
        *[(range(10**9), "range"), ("x" * 100, "'" + "x" * 58 + "…"), (lambda x: x, "<lambda>")],
        ({"f": 1.0, "g": None}, "1.0 for f, None for g"),
    ],
)
def test_a_default_in_few_words(value, text):
    assert shown(value) == text


def test_rows_of_datasets_and_of_observations_are_named_too(own):
    own.tasks({"site": [1, 1, 1], "a": [1.0, 2.0, 4.0], "b": [1.0, 2.0, 3.0]})
    params = 'target = "y"\nfeatures = ["a"]\ngroup_by = ["site"]'
    text = f'kernel = "regression"\n[params]\n{params}\n[input]\npath = "tasks.parquet"\ncolumns = {{ y = "b" }}\n'
    assert jaxbatch.plan(own.job(text)).arguments == {"a": "column a", "y": "column b", "site": "column site"}


RATED = DAILY.replace('path = "tasks"', 'path = "tasks"\ndefaults = ["rate"]')
LEFT_NOTHING = "input.defaults=[]"


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    daily = Daily(tmp_path)
    daily.text(RATED)
    daily.function("def f(x, rate=1.0):\n    return rate * x * x\n")
    return daily


@pytest.mark.parametrize("new_files", [True, False])
def test_what_is_left_may_not_change_between_runs(new_files, daily):
    daily.arrives("1")
    daily.run()
    if new_files:
        daily.arrives("2")
    with pytest.raises(OutputError, match="defaults was") as refused:
        daily.run(LEFT_NOTHING)
    assert refused.value.exit_code == 5
    assert daily.run().parts_done == (3 if new_files else 0)
    daily.check()


def test_a_run_that_was_begun_is_finished_with_what_it_left(daily):
    daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] < 0
    with pytest.raises(OutputError, match="defaults was"):
        daily.run(LEFT_NOTHING)
    assert len(daily.computed()) == 50, "the run that was begun is finished as it began"
    assert api.run(daily_job(daily), engine="local").parts_done == 0


def daily_job(daily: Daily) -> Any:
    return jaxbatch.Job.load(daily.folder / "job.toml")
