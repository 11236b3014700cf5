"""The argument ``key`` and columns of dtype "key" in every kernel: JAX's typed key, never differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch import api
from tests.input.row_identity import by_jax

OWN = """
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxbatch import Column, Kernel

def price(x, vol, key):
    draws = jax.random.normal(key, (20,))
    return jnp.mean(jnp.tanh(x * jnp.exp(vol * draws)))

def mean(x, key):
    return price(x, 0.3, key)

def square(x):
    return x * x

def plain(x, vol):
    return x * vol

def with_default(x, key=None):
    return x if key is None else x + jax.random.uniform(key)

def takes_a_number(x, key):
    return x * key

def only_random(key):
    return jax.random.uniform(key)

@dataclass(frozen=True)
class Noise(Kernel):
    inputs = (Column("x"), Column("noise", "key"), Column("w", shape=("n",)))
    outputs = (Column("y"), Column("n_drawn", "int"))

    def row(self, x, noise, w, n):
        assert jnp.issubdtype(noise.dtype, jax.dtypes.prng_key) and noise.shape == ()
        return {"y": x + jax.random.uniform(noise), "n_drawn": n}
"""


def by_hand(x, vol, key):
    return jnp.mean(jnp.tanh(x * jnp.exp(vol * jax.random.normal(key, (20,), "float64"))))


@pytest.fixture
def own(bench):
    bench.file("own.py", OWN)
    bench.tasks({"id": np.arange(50), "x": np.linspace(0.5, 1.5, 50), "vol": np.linspace(0.1, 0.4, 50)})
    return bench


def job(kernel: str, params: str = "", *lines: str, seed: int | None = 7) -> str:
    compute = "" if seed is None else f"[compute]\nseed = {seed}\n"
    given = "".join(f"{line}\n" for line in lines)
    return f'kernel = "{kernel}"\n[params]\n{params}\n{compute}[input]\npath = "tasks.parquet"\n{given}'


def key_of(place: int, seed: int = 7):
    return by_jax.of_place(seed, by_jax.KEYS, "tasks.parquet", place)


@pytest.mark.parametrize("partials", ["", 'partials = ["x", "x,vol", "x,x,vol"]'])
def test_derivatives_are_those_of_the_path(own, partials):
    """With the key held, the function is an ordinary one: JAX differentiates it with its own draws."""
    rows = own.rows(job("derivatives", f'function = "own.py:price"\norder = 2\n{partials}'))
    with jax.enable_x64(True):
        for place in (0, 17, 49):
            row = rows[place]
            at = (row["x"], row["vol"], key_of(place))
            dx = jax.grad(by_hand, 0)
            wanted = {"d_x": dx, "d_x_vol": jax.grad(dx, 1)}
            wanted |= {"d_x_x_vol": jax.grad(jax.grad(dx, 0), 1)} if partials else {"d_vol": jax.grad(by_hand, 1)}
            assert row["value"] == pytest.approx(float(by_hand(*at)), rel=1e-12)
            for name, function in wanted.items():
                assert row[name] == pytest.approx(float(function(*at)), rel=1e-10, abs=1e-13), name
            assert not [name for name in row if "key" in name]


def test_one_argument_in_a_series(own):
    rows = own.rows(job("derivatives", 'function = "own.py:mean"\norder = 4'))
    with jax.enable_x64(True):
        fourth = jax.grad(jax.grad(jax.grad(jax.grad(by_hand))))
        assert rows[9]["d4"] == pytest.approx(float(fourth(rows[9]["x"], 0.3, key_of(9))), rel=1e-9)


def test_taylor_holds_the_key(own):
    own.tasks({"center": [0.5, 0.7], "point": [0.6, 0.9], "order": [3, 5], "function": ["random", "square"]})
    params = '[params.functions]\nrandom = "own.py:mean"\nsquare = "own.py:square"'
    rows = own.rows(job("taylor", params))
    with jax.enable_x64(True):
        assert rows[0]["coefficients"][1] == pytest.approx(float(jax.grad(by_hand)(0.5, 0.3, key_of(0))), rel=1e-12)
        assert rows[0]["true_value"] == pytest.approx(float(by_hand(0.6, 0.3, key_of(0))), rel=1e-12)
    assert rows[1]["approximations"][2] == pytest.approx(0.81)


def test_a_default_gives_way_to_the_key(own):
    params = 'function = "own.py:with_default"'
    drawn = own.rows(job("apply", params))
    with jax.enable_x64(True):
        assert drawn[3]["value"] == drawn[3]["x"] + float(jax.random.uniform(key_of(3)))
    assert own.rows(job("apply", params, seed=None))[3]["value"] == drawn[3]["x"]


def test_a_column_named_key_is_kept_and_not_read(own):
    own.tasks({"x": [1.0, 2.0], "key": [10, 20]})
    rows = own.rows(job("apply", 'function = "own.py:with_default"'))
    assert [row["key"] for row in rows] == [10, 20]
    assert 1 < rows[0]["value"] < 2 < rows[1]["value"] < 3
    rows = own.rows(job("apply", 'function = "own.py:takes_a_number"', seed=None))
    assert [row["value"] for row in rows] == [10, 40]


def test_a_function_of_nothing_else(own):
    rows = own.rows(job("apply", 'function = "own.py:only_random"', "keep = []"))
    with jax.enable_x64(True):
        assert [row["value"] for row in rows[:3]] == [float(jax.random.uniform(key_of(place))) for place in range(3)]


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_a_kernel_of_ones_own(own, seed):
    lists = [[0.0] * (1 + row % 20) for row in range(50)]
    own.tasks({"x": np.zeros(50), "w": lists, "noise": np.arange(50)})
    text = job("own.py:Noise", seed=seed)
    rows = own.rows(text)
    with jax.enable_x64(True):
        wanted = [float(jax.random.uniform(key_of(place, seed or 0))) for place in range(5)]
    assert [row["y"] for row in rows[:5]] == wanted
    assert [row["n_drawn"] for row in rows] == [len(each) for each in lists]
    told = api.preview(own.job(text))["arguments"]
    assert told["noise"] == f"random, of seed {seed or 0} and the row's file and place"


def test_in_float32_runs(own):
    rows = own.rows(job("apply", 'function = "own.py:with_default"'), "compute.precision='float32'")
    with jax.enable_x64(False):
        drawn = np.float32(rows[3]["x"]) + np.float32(jax.random.uniform(key_of(3)))
    assert rows[3]["value"] == drawn
