"""A newcomer's mistakes: each message says where the mistake is and what to do, in at most three lines."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import cli

JOB = """kernel = "derivatives"
[params]
function = "own.py:f"
order = 2
[input]
path = "tasks.parquet"
[output]
path = "results"
"""

TAYLOR = JOB.replace("derivatives", "taylor").replace("own.py:f", "jax.numpy:sqrt").replace("order = 2\n", "")

OWN = """import jax.numpy as jnp
import numpy as np

def f(x):
    return jnp.sin(x)

def branches(x):
    if x > 0:
        return x
    return -x

def wants_numpy(x):
    return np.sin(x)

def wants_a_number(x):
    return jnp.sin(float(x))

def selects(x):
    return jnp.sum(jnp.ones(3)[jnp.arange(3) > x])

def returns_two(x):
    return jnp.stack([x, x])

def does_not_fit(x, y):
    return jnp.dot(jnp.ones(3) * x, jnp.ones(4) * y)

def wants_volatility(x, volatility):
    return x * volatility

def misspells(x):
    return jnp.sine(x)

def forgets_to_return(x):
    jnp.sin(x)

def prices(x, volatility, maturity):
    return x * volatility * maturity

def returns_a_tuple(x):
    return x, x

def branches_by_kind(x, kind="call"):
    if x > 0:
        return x
    return -x
"""

Edit = Callable[[str], str]


def instead(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


def function(name: str) -> Edit:
    return instead("own.py:f", name)


def beside_path(line: str) -> Edit:
    return instead('path = "tasks.parquet"', f'path = "tasks.parquet"\n{line}')


MISTAKES: dict[str, tuple[Edit, Sequence[str], int, Sequence[str]]] = {
    # edit of the job; options; exit code; words of the message
    "a table misspelt": (instead("[output]", "[outputs]"), (), 4, ("line 7", "'outputs'", "Did you mean 'output'?")),
    "a key misspelt": (
        lambda job: job + "rows_per_prt = 5\n",
        (),
        4,
        ("line 9", "output.rows_per_prt", "Did you mean 'rows_per_part'?"),
    ),
    "a text for a number": (lambda job: job + 'rows_per_part = "many"\n', (), 4, ("line 9", "valid integer", '"many"')),
    "a table forgotten": (
        instead('[input]\npath = "tasks.parquet"\n', ""),
        (),
        4,
        ("table [input] is missing", "Add a line [input]"),
    ),
    "no quotes": (instead('"tasks.parquet"', "tasks.parquet"), (), 4, ("line 6", "in quotes")),
    "a date without quotes": (beside_path("constants = { day = 2026-11-22 }"), (), 4, ("line 7", "Write it in quotes")),
    "a kernel misspelt": (instead("derivatives", "derivative"), (), 4, ("line 1", "Did you mean 'derivatives'?")),
    "a function misspelt": (function("own.py:ff"), (), 4, ("own.py has no 'ff'", "Did you mean 'f'?")),
    "a JAX function misspelt": (function("jax.numpy:sqr"), (), 4, ("no 'sqr'", "Did you mean 'sqrt'?")),
    "a file misspelt": (function("onw.py:f"), (), 4, ("there is no file", "onw.py", "start at the job file's folder")),
    "no colon": (function("own.f"), (), 4, ("'own.f' does not name a function", "Did you mean 'own.py:f'?")),
    "neither colon nor file": (function("f"), (), 4, ("'f' does not name a function", '"file.py:name"')),
    "a parameter misspelt": (
        instead("order = 2", "ordr = 2"),
        (),
        4,
        ("line 4", "params.ordr", "Did you mean 'order'?"),
    ),
    "a variable without a value": (
        instead("tasks.parquet", "tasks-{date}.parquet"),
        (),
        4,
        ("line 6", "{date}", "--var date=…"),
    ),
    "a path that matches nothing": (
        instead("tasks.parquet", "task/*.parquet"),
        (),
        4,
        ("no Parquet file matches task/*.parquet", "Paths start at"),
    ),
    "an argument without a column": (
        function("own.py:wants_volatility"),
        (),
        4,
        ("'volatility' has neither", '[input] columns = { volatility = "vol" }'),
    ),
    "several arguments without columns": (
        function("own.py:prices"),
        (),
        4,
        ("'volatility', 'maturity' have neither", 'volatility = "vol", maturity = "…"', "Not used: id, y, name, vol."),
    ),
    "several columns of a kernel that are not there": (
        lambda _: TAYLOR,
        (),
        4,
        ("no column 'center', 'point', 'order'", "Known: id, name, vol, x, y", 'center = "…", point = "…"'),
    ),
    "quotes around a number": (
        lambda job: beside_path('constants = { y = "0.5" }')(function("own.py:does_not_fit")(job)),
        (),
        4,
        ("own.py, line 25", "its argument 'y' is the text \"0.5\"", "without quotes"),
    ),
    "no return": (function("own.py:forgets_to_return"), (), 4, ("returns nothing", "Is there a 'return' in it?")),
    "no return for several results": (
        lambda job: instead("derivatives", "apply")(
            instead("order = 2\n", "")(function("own.py:forgets_to_return")(job))
        ),
        (),
        4,
        ("own.py:forgets_to_return", "returns nothing", "'return'"),
    ),
    "a column of texts": (beside_path('columns = { x = "name" }'), (), 4, ("'name'", "string", "Cast it")),
    "a column that is not there": (
        beside_path('columns = { x = "xx" }'),
        (),
        4,
        ("no column 'xx'", "Did you mean 'x'?"),
    ),
    "a constant for nobody": (
        beside_path("constants = { rate = 1.0 }"),
        (),
        4,
        ("line 7", "nothing uses the constant 'rate'", "Known: x"),
    ),
    "a column to keep misspelt": (beside_path('keep = ["idd"]'), (), 4, ("no column 'idd'", "Did you mean 'id'?")),
    "an if": (
        function("own.py:branches"),
        (),
        4,
        ("own.py, line 8, 'if x > 0:'", "x: float64[]", "jnp.where(condition, a, b)"),
    ),
    "NumPy": (function("own.py:wants_numpy"), (), 4, ("own.py, line 13", "use jax.numpy instead")),
    "float()": (function("own.py:wants_a_number"), (), 4, ("own.py, line 16", "float(), int()")),
    "a mask": (function("own.py:selects"), (), 4, ("own.py, line 19", "jnp.where(mask, value, 0)")),
    "a tuple": (function("own.py:returns_a_tuple"), (), 4, ("returns a tuple of 2", "use the kernel 'apply'")),
    "a share without a percent sign": (
        lambda job: job + '[limits]\nmax_failed_rows = "1"\n',
        (),
        4,
        ("line 10", 'Write a count, 1, or a share in quotes, "1%".'),
    ),
    "a name for a list of names": (beside_path('keep = "id"'), (), 4, ("line 7", 'keep = ["id"]')),
    "a constant misspelt": (
        lambda job: beside_path("constants = { volatilty = 0.2 }")(function("own.py:wants_volatility")(job)),
        (),
        4,
        ("'volatility' has neither", "Not used: the constant volatilty."),
    ),
    "a variable misspelt": (
        instead("tasks.parquet", "tasks-{date}.parquet"),
        ("--var", "dat=2026-11-22"),
        4,
        ("'{date}' has no value", "--var date=… instead of --var dat"),
    ),
    "two results": (function("own.py:returns_two"), (), 4, ("float64[2]", "use the kernel 'apply'")),
    "an if, beside an argument that is a text": (
        function("own.py:branches_by_kind"),
        (),
        4,
        ("own.py, line 43, 'if x > 0:'", "jnp.where(condition, a, b)"),
    ),
    "shapes that do not fit": (
        function("own.py:does_not_fit"),
        (),
        4,
        ("own.py, line 25", "(3,) and (4,)", "x: float64[], y: float64[]"),
    ),
    "a name in jax.numpy misspelt": (function("own.py:misspells"), (), 4, ("own.py, line 31", "Did you mean 'sin'?")),
    "an output in the input": (
        instead('"tasks.parquet"', '"."'),
        (),
        4,
        ("results lies in the input folder", "a folder of its own"),
    ),
    "--set without quotes": (
        str,
        ("--set", "output.path=elsewhere"),
        2,
        ("--set output.path=elsewhere", "strings in quotes"),
    ),
    "--set a key misspelt": (
        str,
        ("--set", "output.rows_per_prt=5"),
        4,
        ("job.toml, --set output.rows_per_prt=5", "Did you mean 'rows_per_part'?"),
    ),
    "--var without a name": (str, ("--var", "2026-11-22"), 2, ("not of the form K=V", "--var date=2026-11-22")),
    "an option misspelt": (str, ("--worker", "2"), 2, ("No such option '--worker'", "Did you mean '--workers'?")),
    "an address for threads": (
        str,
        ("--engine", "local", "--address", "10.0.0.1:6379"),
        2,
        ("--engine local takes no --address",),
    ),
    "--limit that is no number": (str, ("--limit", "all"), 2, ("--limit", "'all' is not a valid integer")),
}


def run_folder(folder: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the folder's job: its exit code and stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(folder / "job.toml"), "--quiet", *arguments])
    return int(ended.value.code or 0), capfd.readouterr().err


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_with_its_place_and_remedy(mistake, tmp_path, capfd):
    edit, options, code, words = MISTAKES[mistake]
    tasks = pa.table({"id": [1], "x": [1.0], "y": [2.0], "name": ["a"], "vol": [0.2]})
    pq.write_table(tasks, tmp_path / "tasks.parquet")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "job.toml").write_text(edit(JOB))
    ended, err = run_folder(tmp_path, capfd, *options)
    assert ended == code, err
    for each in words:
        assert each in err
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert len(lines) <= (4 if lines[0].startswith("Usage") else 3)
    assert not (tmp_path / "results").exists()


def test_no_job_there(tmp_path, capfd):
    code, err = run_folder(tmp_path, capfd)
    assert (code, "job.toml: cannot be read (No such file or directory)" in err) == (4, True), err


def test_tasks_for_a_job(tmp_path, capfd):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "job.toml")
    code, err = run_folder(tmp_path, capfd)
    assert (code, "Give the path of a TOML job file" in err) == (4, True), err


def test_an_unused_variable_is_reported(tmp_path, capfd, caplog):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "tasks.parquet")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "job.toml").write_text(JOB.replace("results", "results/{name}/{day}"))
    code, err = run_folder(tmp_path, capfd, "--var", "day=1", "--var", "date=2026-11-22", "--var", "name=mine")
    assert code == 0, err
    assert [record.getMessage().partition(" is")[0] for record in caplog.records] == ["--var date", "--var name"]
