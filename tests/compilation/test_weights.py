"""Arrays that a function closes over are arguments of its program: digested once, on each device once, in no file."""

import os
import runpy
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle

from jaxbatch.compilation import device_memory, executable_cache, weights
from jaxbatch.compilation.weights import Weight, Weights
from jaxbatch.errors import JobError
from jaxbatch.planning.planner import plan

N, WIDTH = 300, 64

MODEL = """
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

W = jnp.asarray(np.load(pathlib.Path(__file__).parent / "w.npy"))


def network(W, x):
    hidden = jax.lax.fori_loop(0, 2, lambda _, h: jax.jit(lambda h: jnp.sin(W @ h))(h), x * jnp.ones(W.shape[0]))
    return {"y": hidden.sum(), "z": W[0] @ hidden}


def f(x):
    return network(W, x)


def g(x):
    return (W * x).sum()
"""

JOB = f'kernel = "apply"\nparams.function = "model.py:f"\ncompute.batch_rows = {WIDTH}\n'


def other(seed):
    return np.random.default_rng(seed).uniform(-0.1, 0.1, (N, N))


@pytest.fixture
def model(bench):
    """A model of 720 kB, and 200 rows."""
    bench.file("model.py", MODEL)
    np.save(bench.folder / "w.npy", other(0))
    bench.tasks({"x": np.linspace(0.1, 2, 200)})
    return bench


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of compiled programs, and how often a program was compiled."""
    monkeypatch.setenv("JAXBATCH_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(executable_cache, "WORTH_KEEPING_S", 0.0)
    compiled, compile_ = [], executable_cache.LazyLowering.compile
    monkeypatch.setattr(executable_cache.LazyLowering, "compile", lambda each: compiled.append(1) or compile_(each))
    forget()
    yield tmp_path / "kept" / "jaxbatch", compiled
    forget()


def forget():
    """What a process knows that has just started."""
    executable_cache._folder.cache_clear()
    executable_cache._kept.clear()


def counted(monkeypatch, module, name):
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given, **named: calls.append(given) or function(*given, **named))
    return calls


def test_the_bytes_are_those_of_a_plain_script(model):
    output = model.output(model.run(JOB))
    x = np.resize(np.linspace(0.1, 2, 200), 4 * WIDTH).reshape(4, WIDTH)
    with jax.enable_x64(True):
        script = runpy.run_path(str(model.folder / "model.py"))
        program = jax.jit(jax.vmap(script["network"], (None, 0)))
        batches = [program(script["W"], each) for each in x]
    for name in ("y", "z"):
        expected = np.concatenate([each[name] for each in batches])[:200]
        assert output[name].to_numpy().tobytes() == expected.tobytes()


def test_neither_executable_nor_plan_holds_them_and_others_need_no_compilation(model, kept):
    folder, compiled = kept
    first = model.rows(JOB)
    identity = plan(model.job(JOB)).fingerprint
    assert len(compiled) == 1
    (file,) = (path for path in folder.iterdir() if not path.suffix)
    assert file.stat().st_size < 20_000
    assert len(cloudpickle.dumps(plan(model.job(JOB)))) < 20_000
    assert (model.folder / "results/_jaxbatch/plan.json").stat().st_size < 20_000
    forget()
    assert model.rows(JOB) == first
    np.save(model.folder / "w.npy", other(1))
    assert plan(model.job(JOB)).fingerprint != identity
    second = model.rows(JOB)
    assert len(compiled) == 1
    assert not {row["y"] for row in first} & {row["y"] for row in second}
    np.save(model.folder / "w.npy", other(1)[:, :-1].T @ other(1)[:, :-1])  # one row and column less
    model.rows(JOB)
    assert len(compiled) == 2


def test_the_plan_says_how_large_they_are(model, jaxbatch):
    (program,) = plan(model.job(JOB)).describe()["programs"]
    assert program["weight_bytes"] == 8 * N * N
    assert "64 rows per batch, 1.56 KiB; weights, 703 KiB" in jaxbatch("plan", "job.toml").stdout
    (program,) = plan(model.job(JOB.replace("model.py:f", "jax.numpy:sin"))).describe()["programs"]
    assert "weight_bytes" not in program


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_both_engines_write_the_same(engine, model, jaxbatch):
    model.job(JOB)
    ended = jaxbatch("run", "job.toml", "--quiet", "--engine", engine, "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    written = pq.read_table(model.folder / "results/data").to_pylist()
    assert written == model.rows(JOB, 'output.path="elsewhere"')


def test_each_is_digested_once_and_put_on_a_device_once(model, monkeypatch):
    """Though four threads compute, by two programs, each of which is traced twice."""
    digested, put = counted(monkeypatch, weights, "_digest"), counted(monkeypatch, jax, "device_put")
    monkeypatch.setattr(weights, "_on_devices", {})
    x = np.linspace(0.1, 2, 200)
    model.tasks({"x": x, "function": ["f", "g"] * 100})
    model.file("model.py", MODEL.replace("network(W, x)\n\n\ndef g", 'network(W, x)["y"]\n\n\ndef g'))
    summary = model.run(
        'kernel = "derivatives"\n[params]\nfunctions = { f = "model.py:f", g = "model.py:g" }\n', workers=4
    )
    assert (summary.exit_code, summary.rows, summary.compilations) == (0, 200, 2)
    assert len(digested) == 1
    assert sum(isinstance(given[0], jax.Array) for given in put) == 1
    slope = model.output(summary)["d1"].to_numpy()[1::2]
    np.testing.assert_allclose(slope, other(0).sum(), rtol=1e-9)


def test_numpys_are_digested_once_more_for_the_check_that_functions_are_pure(model, monkeypatch):
    digested = counted(monkeypatch, weights, "_digest")
    model.tasks({"x": [1.0, 2.0, 3.0], "function": ["f", "g", "h"]})
    names = "".join(f"def {name}(x):\n    return (x * W).sum() + {ord(name)}\n\n\n" for name in "fgh")
    model.file("model.py", f"import numpy as np\n\nW = np.ones(10_000)\n\n\n{names}")
    functions = ", ".join(f'{name} = "model.py:{name}"' for name in "fgh")
    rows = model.rows(f'kernel = "derivatives"\nparams.functions = {{ {functions} }}\n')
    assert [row["value"] for row in rows] == [10_102.0, 20_103.0, 30_104.0]
    assert len(digested) == 2


def test_equal_arrays_are_one_weight():
    array = np.arange(5000.0)
    found = Weights().in_place_of([array, 1.0, jnp.asarray(array, "float32"), array.copy(), array[:10], array])
    assert [isinstance(each, Weight) for each in found] == [True, False, True, True, False, True]
    assert found[0] is found[3] is found[5]
    assert found[2] is not found[0]
    assert Weights().in_place_of([array.reshape(50, 100)])[0].digest != found[0].digest
    assert Weights().in_place_of([np.asfortranarray(array.reshape(50, 100))])[0].digest != found[0].digest


def test_threads_share_what_is_on_a_device(monkeypatch):
    put, device = counted(monkeypatch, jax, "device_put"), jax.devices()[0]
    array = np.random.default_rng(7).uniform(size=9000)
    one, same = (Weights().in_place_of([each])[0] for each in (array, array.copy()))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: each.on(device), [one, same] * 8))
    assert len(put) == 1
    assert all(each is found[0] for each in found)


def test_what_changes_later_does_not_change_what_is_on_a_device():
    with jax.enable_x64(True):
        memory = np.zeros(10_008)
        start = (-memory.ctypes.data % 64) // 8  # where JAX could take it without a copy
        array = memory[start : start + 10_000]
        there = Weights().in_place_of([array])[0].on(jax.devices()[0])
        array[:] = 1.0
        assert not there.any()


CHANGING = """
import numpy as np

W = np.ones(10_000)


def f(x):
    W[0] += 1
    return (x * W).sum()
"""


def test_an_array_that_the_function_changes_is_noticed(model):
    model.file("model.py", CHANGING)
    with pytest.raises(JobError, match="traces to a different program each time"):
        model.run(JOB)


def test_one_that_was_changed_between_runs_is_read_again(model, monkeypatch):
    held = types.ModuleType("held_for_this_test")
    vars(held)["W"] = array = np.ones(10_000)
    monkeypatch.setitem(sys.modules, held.__name__, held)
    model.file("model.py", f"from {held.__name__} import W\n\n\ndef f(x):\n    return (x * W).sum()\n")
    before = model.rows(JOB)
    array[0] = 1001
    after = model.rows(JOB)
    for one, two in zip(before, after, strict=True):
        assert one["value"] == pytest.approx(10_000 * one["x"])
        assert two["value"] == pytest.approx(11_000 * one["x"])


def test_an_array_made_by_the_function_is_one_too(model):
    model.file("model.py", "import numpy as np\n\ndef f(x):\n    return (np.arange(10_000.0) * x).sum()\n")
    assert plan(model.job(JOB)).describe()["programs"][0]["weight_bytes"] == 80_000
    np.testing.assert_allclose([row["value"] for row in model.rows(JOB)], np.linspace(0.1, 2, 200) * 49_995_000)


def test_they_come_in_the_runs_precision_as_ever(model):
    single = JOB + 'compute.precision = "float32"\n'
    model.file("model.py", "import numpy as np\n\nW = np.arange(10_000.0)\n\n\ndef f(x):\n    return (W * x)[9_000]\n")
    assert plan(model.job(single)).describe()["programs"][0]["weight_bytes"] == 40_000
    x = np.linspace(0.1, 2, 200).astype("float32")
    assert model.output(model.run(single))["value"].to_numpy().tobytes() == (np.float32(9000) * x).tobytes()


def test_series_take_them_out_of_calls_too(model, kept):
    """Coefficients of t ↦ sin(Σw·(c + t)), of which chunks are computed by a batching rule."""
    model.tasks({"center": [0.1, 0.2], "point": [0.1, 0.2], "order": [3, 3]})
    np.save(model.folder / "w.npy", np.random.default_rng(0).uniform(0, 1e-5, 200_000))
    wrapped = "    return jax.jit(lambda x: jnp.sin((W * x).sum()))(x)\n"
    model.file("model.py", MODEL[: MODEL.index("def network")] + "def f(x):\n" + wrapped)
    rows = model.rows('kernel = "taylor"\nparams = { function = "model.py:f", max_order = 3 }\n')
    a = np.load(model.folder / "w.npy").sum()
    for row, at in zip(rows, (0.1, 0.2), strict=True):
        sine, cosine = np.sin(a * at), np.cos(a * at)
        expected = [sine, a * cosine, -(a**2) * sine / 2, -(a**3) * cosine / 6]
        np.testing.assert_allclose(row["coefficients"], expected, rtol=1e-10)
    sizes = [path.stat().st_size for path in kept[0].iterdir() if not path.suffix]
    assert 0 < max(sizes) < 200_000


BAKED = """
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

W = jnp.arange(5000.0)


@custom_vmap
def f(x):
    return x


@f.def_vmap
def rule(size, batched, x):
    return x + W[-1], True
"""


def test_what_a_batching_rule_closes_over_stays_a_constant(model):
    model.file("model.py", BAKED)
    assert [row["value"] for row in model.rows(JOB)] == list(np.linspace(0.1, 2, 200) + 4999)
    identity = plan(model.job(JOB)).fingerprint
    model.file("model.py", BAKED.replace("5000.0", "5001.0"))
    assert plan(model.job(JOB)).fingerprint != identity
    assert [row["value"] for row in model.rows(JOB)] == list(np.linspace(0.1, 2, 200) + 5000)


def test_a_device_that_cannot_hold_them_is_refused(model, monkeypatch):
    model.file(
        "model.py", "import jax.numpy as jnp\n\nW = jnp.ones((4, 2**18))\n\n\ndef f(x):\n    return W[0, 0] * x\n"
    )
    monkeypatch.setattr(device_memory, "host_bytes", lambda: 8 << 20)
    with pytest.raises(JobError, match=r"closes over take 8 MiB, but the cpu has 8 MiB"):
        model.run(JOB)


def test_they_are_set_aside_once(model, monkeypatch):
    """Of 10 MiB, 8 are the model's. A batch may take the rest, and does not count the model again."""
    model.file(
        "model.py", "import jax.numpy as jnp\n\nW = jnp.ones((4, 2**18))\n\n\ndef f(x):\n    return W[0, 0] * x\n"
    )
    monkeypatch.setattr(device_memory, "host_bytes", lambda: 10 << 20)
    assert model.run(JOB, "compute.batch_rows=100000").exit_code == 0
    with pytest.raises(JobError, match=r"needs 2\.\d+ MiB, but the cpu has 2 MiB"):
        model.run(JOB, "compute.batch_rows=140000", 'output.path="other"')


ON_TWO = """
import jax, numpy as np
from jaxbatch.compilation.weights import Weights
array = np.arange(9000.0, dtype="float32")
weight, = Weights().in_place_of([jax.device_put(array, jax.devices()[1])])
there = [weight.on(device) for device in jax.devices()]
assert [each.devices() for each in there] == [{device} for device in jax.devices()]
assert len({each.unsafe_buffer_pointer() for each in there}) == 2
assert there[1].unsafe_buffer_pointer() == weight.array.unsafe_buffer_pointer()
assert all((np.asarray(each) == array).all() for each in there)
"""


def test_each_of_two_devices_has_its_own():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ON_TWO], env=environment, check=True, timeout=120)


def test_a_run_on_two_devices(model, jaxbatch):
    model.job(JOB)
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    ended = jaxbatch(
        "run", "job.toml", "--quiet", "--engine", "local", "--set", "output.rows_per_part=25", env=environment
    )
    assert ended.returncode == 0, ended.stderr
    two = pq.read_table(model.folder / "results/data").to_pylist()
    assert two == model.rows(JOB, 'output.path="elsewhere"')
