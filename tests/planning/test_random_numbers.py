"""Mistakes with sample, seed and key_by: each is refused before any work, with its place and what to do."""

import pytest

from jaxbatch.errors import JaxbatchError

OWN = """
from dataclasses import dataclass

import jax

from jaxbatch import Column, Grouping, Kernel

def f(x, key):
    return x * jax.random.uniform(key)

def g(x):
    return x

def gives_the_key(x, key):
    return key

class One(Kernel):
    inputs = (Column("x"), Column("draw", "key"))
    outputs = (Column("y"),)

    def row(self, x, draw):
        return {"y": x + jax.random.uniform(draw)}

class Two(One):
    inputs = (Column("x"), Column("a", "key"), Column("b", "key"))

class Shaped(One):
    inputs = (Column("x"), Column("draw", "key", shape=(2,)))

class OfGroups(One):
    grouping = Grouping(("id",), One.inputs, drop_nulls=False)

class Gives(One):
    outputs = (Column("y", "key"),)
"""

DRAWN = 'kernel = "apply"\n[params]\nfunction = "own.py:f"\n[compute]\nseed = 7\n[input]\npath = "tasks.parquet"\n'
PLAIN = DRAWN.replace(":f", ":g").replace("[compute]\nseed = 7\n", "")
DERIVATIVES = DRAWN.replace('"apply"', '"derivatives"')


def kernel(name: str) -> str:
    return f'kernel = "own.py:{name}"\n[input]\npath = "tasks.parquet"\n'


@pytest.fixture
def own(bench):
    bench.file("own.py", OWN)
    bench.tasks({"id": [1, 2], "x": [1.0, 2.0], "key": [3, 4], "yes": [True, False]})
    return bench


MISTAKES = {
    "a column for the key": (
        DRAWN + 'columns = { key = "id" }\n',
        ("'key' is the row's random key with seed = 7", '[input] columns = { key = "id" }'),
        "Remove that, or remove [compute] seed.",
    ),
    "a constant for the key": (
        DRAWN + "constants = { key = 3 }\n",
        ("'key' is the row's random key", "[input] constants = { key = 3 }"),
        "Remove that, or remove [compute] seed.",
    ),
    "a default for the key": (
        DRAWN + 'defaults = ["key"]\n',
        ("'key' is the row's random key", "[input] defaults"),
        "Remove that, or remove [compute] seed.",
    ),
    "a column for the key of a kernel": (
        kernel("One") + 'columns = { draw = "id" }\n',
        ("'draw' is the row's random key", '{ draw = "id" }'),
        "Remove that.",
    ),
    "a constant for the key of a kernel": (
        kernel("One") + "constants = { draw = 1 }\n",
        ("'draw' is the row's random key", "constants"),
        "Remove that.",
    ),
    "a constant for taylor's key": (
        DRAWN.replace('"apply"', '"taylor"') + "constants = { key = 3 }\n",
        ("'key' is the row's random key",),
        "Remove that",
    ),
    "the key in wrt": (
        DERIVATIVES.replace("[compute]", 'wrt = ["x", "key"]\n[compute]'),
        ("[params] wrt: 'key' is the row's random key",),
        "Known: x.",
    ),
    "the key in partials": (
        DERIVATIVES.replace("[compute]", 'partials = ["x,key"]\n[compute]'),
        ("partials: 'x,key' names 'key'",),
        "Known: x.",
    ),
    "the key in integers": (
        DRAWN.replace("[compute]", 'integers = ["key"]\n[compute]'),
        ("[params] integers: 'key' is the row's random key",),
        "Leave it out.",
    ),
    "the key as a result": (
        DRAWN.replace(":f", ":gives_the_key"),
        ("returns key<fry> as 'value'",),
        "jax.random.key_data(key)",
    ),
    "a seed that nothing uses": (
        PLAIN.replace("[input]", "[compute]\nseed = 7\n[input]"),
        ("job.toml, line 5, key 'compute.seed': nothing uses it",),
        "def f(…, key)",
    ),
    "columns that name rows for nothing": (
        PLAIN + 'key_by = ["id"]\n',
        ("job.toml, line 6, key 'input.key_by': nothing uses it",),
        "Remove it",
    ),
    "a column that is not there": (
        PLAIN + 'sample = 0.5\nkey_by = ["idd"]\n',
        ("line 7, key 'input.key_by': the files have no column 'idd'",),
        "Did you mean 'id'?",
    ),
    "a type that cannot name a row": (
        PLAIN + 'sample = 0.5\nkey_by = ["id", "x"]\n',
        ("line 7, key 'input.key_by': column 'x' is double",),
        "integers, texts, dates or timestamps",
    ),
    "booleans name rows": (
        DRAWN + 'key_by = ["yes"]\n',
        ("key 'input.key_by': column 'yes' is bool",),
        "or cast the column",
    ),
    "a column twice": (
        PLAIN + 'sample = 0.5\nkey_by = ["id", "id"]\n',
        ("key 'input.key_by': a column is named twice",),
        "List each column once.",
    ),
    "no column that names rows": (PLAIN + "sample = 0.5\nkey_by = []\n", ("line 7", "key_by"), ""),
    "a sample of nothing": (PLAIN + "sample = 0.0\n", ("line 6", "sample"), ""),
    "a sample of more than all": (PLAIN + "sample = 1.5\n", ("line 6", "sample"), ""),
    "a sample in percent": (PLAIN + 'sample = "1%"\n', ("line 6", "sample"), ""),
    "a seed below 0": (DRAWN.replace("seed = 7", "seed = -1"), ("line 5", "seed"), ""),
    "a seed that is too large": (DRAWN.replace("seed = 7", f"seed = {2**63}"), ("line 5", "seed"), ""),
    "a seed with a point": (DRAWN.replace("seed = 7", "seed = 7.0"), ("line 5", "seed"), ""),
    "two keys": (kernel("Two"), ("Two takes several random keys",), "jax.random.split"),
    "a list of keys": (kernel("Shaped"), ("Shaped takes the random key 'draw' in a shape",), "jax.random.split"),
    "a key of observations": (
        kernel("OfGroups"),
        ("OfGroups takes the random key 'draw' of observations",),
        "jax.random.split",
    ),
    "one function of two takes the key": (
        DERIVATIVES.replace('function = "own.py:f"', 'functions = { f = "own.py:f", g = "own.py:g" }'),
        ("'own.py:g' takes x from the rows, 'own.py:f' x, key",),
        "must take the same arguments",
    ),
    "a kernel's key as a result": (kernel("Gives"), ("Gives declares the output 'y' as a random key",), "key_data"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_refused(own, mistake):
    text, said, remedy = MISTAKES[mistake]
    with pytest.raises(JaxbatchError) as refused:
        own.run(text)
    assert refused.value.exit_code == 4
    for part in said:
        assert part in refused.value.what
    assert remedy in refused.value.remedy
    assert not (own.folder / "results").exists()


def test_reserved_names(own):
    own.tasks({"x": [1.0], "\0key": [1]})
    with pytest.raises(JaxbatchError, match="a name of jaxbatch's own"):
        own.run(DRAWN)
    assert own.run(PLAIN).exit_code == 0
