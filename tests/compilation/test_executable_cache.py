"""Compiled programs outlive their process, in a folder that is its user's alone."""

import logging
import os

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxbatch.compilation import executable_cache
from jaxbatch.compilation.executable_cache import LazyLowering


class Counted:
    """A lowered program that counts how often it is compiled."""

    def __init__(self, function, argument):
        self._lowered = jax.jit(function).lower(argument)
        self.compilations = 0

    def as_text(self):
        return self._lowered.as_text()

    def compile(self):
        self.compilations += 1
        return self._lowered.compile()


def by(factor):
    """x ↦ a function that other factors make another program of."""

    def function(columns):
        x = columns["x"]
        for _ in range(3):
            x = np.float32(factor) * jax.numpy.sin(x) + x
        return {"y": x, "z": [x.sum()]}

    return Counted(function, {"x": jax.ShapeDtypeStruct((16,), "float32")})


X = {"x": np.linspace(0, 1, 16, dtype="float32")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXBATCH_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(executable_cache, "WORTH_KEEPING_S", 0.0)
    forget()
    yield tmp_path / "kept" / "jaxbatch"
    forget()


def forget():
    """What a process knows that has just started."""
    executable_cache._folder.cache_clear()
    executable_cache._kept.clear()


def result(lowered):
    return jax.device_get(executable_cache.executable(LazyLowering(lambda: lowered), jax.devices()[0]).compiled(X))


def programs(folder):
    return sorted(path for path in folder.iterdir() if not path.suffix)


@pytest.mark.usefixtures("folder")
def test_the_next_process_loads_what_the_first_compiled():
    first = by(3.0)
    expected = result(first)
    result(first)
    assert first.compilations == 1
    forget()
    again = by(3.0)
    found = result(again)
    assert again.compilations == 0
    assert found["y"].tobytes() == expected["y"].tobytes()
    assert found["z"][0] == expected["z"][0]


@pytest.mark.usefixtures("folder")
def test_what_is_known_by_its_digest_is_not_even_lowered():
    def of(digest, factor, signature=()):
        source = LazyLowering(lambda: by(factor), digest=digest, signature=signature)
        found = executable_cache.executable(source, jax.devices()[0])
        return jax.device_get(found.compiled(X))["y"].tobytes()

    three = of("a", 3.0)
    forget()
    assert of("a", 4.0) == three
    assert of("b", 4.0) != three
    assert of("a", 4.0, ("other names",)) != three


@pytest.mark.usefixtures("folder")
def test_that_it_calls_lapack_is_kept_too():
    square = jax.ShapeDtypeStruct((3, 3), "float32")
    lowered = jax.jit(lambda matrix: jax.numpy.linalg.qr(matrix)[1]).lower(square)
    for _ in range(2):
        assert executable_cache.executable(LazyLowering(lambda: lowered), jax.devices()[0]).calls_lapack
        assert not executable_cache.executable(LazyLowering(lambda: by(3.0)), jax.devices()[0]).calls_lapack
        forget()


def test_a_program_that_calls_lapack_runs_in_a_process_that_has_lowered_none(bench, jaxbatch, folder):
    """jax-ml/jax issue 28908: what was lowered elsewhere finds no LAPACK, and ends the process."""
    x = np.array([0.0, 1.0, 2.0])
    bench.tasks({"x": x})
    bench.file(
        "functions.py",
        """
import jax.numpy as jnp

def f(x):
    a = jnp.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]]) + x * jnp.eye(3)
    q, r = jnp.linalg.qr(a)
    return {"trace": (q @ r).trace(), "det": jnp.linalg.svd(a, compute_uv=False).prod()}
""",
    )
    job = 'kernel = "apply"\n[params]\nfunction = "functions.py:f"\n'
    job += '[input]\npath = "tasks.parquet"\n[output]\npath = "results"\n'
    bench.file("job.toml", job)
    for _ in range(2):
        finished = jaxbatch("run", "job.toml", "--restart", "--json", env=os.environ)
        assert finished.returncode == 0, finished.stderr
        (part,) = (bench.folder / "results" / "data").glob("*.parquet")
        rows = pq.read_table(part)
        np.testing.assert_allclose(rows["trace"], 9 + 3 * x, rtol=1e-14)
        np.testing.assert_allclose(rows["det"], 18 + 24 * x + 9 * x**2 + x**3, rtol=1e-13)
    assert programs(folder)


def test_another_constant_is_another_program(folder):
    result(by(3.0))
    other = by(4.0)
    x = X["x"]
    for _ in range(3):
        x = np.float32(4) * np.sin(x) + x
    np.testing.assert_allclose(result(other)["y"], x, rtol=1e-5)
    assert other.compilations == 1
    assert len(programs(folder)) == 2


def test_nobody_else_may_look_into_the_folder(folder):
    result(by(3.0))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert programs(folder)[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spoil", ["cut", "flip", "pickle"])
def test_a_damaged_program_is_made_anew(folder, spoil):
    expected = result(by(3.0))
    (path,) = programs(folder)
    data = path.read_bytes()
    spoilt = {
        "cut": data[:-1],
        "flip": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "pickle": b"cos\nsystem\n(S'x'\ntR.",
    }
    path.write_bytes(spoilt[spoil])
    forget()
    again = by(3.0)
    assert result(again)["y"].tobytes() == expected["y"].tobytes()
    assert again.compilations == 1
    forget()
    third = by(3.0)
    result(third)
    assert third.compilations == 0


def open_to_a_group(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o770)


def a_link(folder):
    (folder.parent / "real").mkdir(mode=0o700, parents=True)
    folder.symlink_to("real")


def below_one_that_is_open(folder):
    folder.parent.mkdir()
    folder.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("make", "reason"), [(open_to_a_group, "delete it"), (a_link, "delete it"), (below_one_that_is_open, "replace it")]
)
def test_a_folder_that_others_can_reach_is_not_used(folder, make, reason, caplog):
    make(folder)
    with caplog.at_level(logging.WARNING):
        result(by(3.0))
    assert not list(folder.iterdir())
    assert reason in caplog.text


def test_what_lies_beside_the_folder_is_left_alone(folder, monkeypatch):
    folder.parent.mkdir()
    mine = folder.parent / "mine"
    mine.write_text("x" * 1000)
    monkeypatch.setattr(executable_cache, "FOLDER_BYTES", 1)
    result(by(3.0))
    result(by(4.0))
    assert mine.exists()


def test_off_keeps_nothing(folder, monkeypatch):
    monkeypatch.setenv("JAXBATCH_CACHE", "off")
    result(by(3.0))
    assert not folder.exists()


def test_the_folder_is_of_bounded_size(folder, monkeypatch):
    result(by(3.0))
    (oldest,) = programs(folder)
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(executable_cache, "FOLDER_BYTES", int(2.5 * oldest.stat().st_size))
    result(by(4.0))
    assert oldest.exists()
    result(by(5.0))
    assert not oldest.exists()
    assert len(programs(folder)) == 2


BATCHED = """
from jax.custom_batching import custom_vmap


@custom_vmap
def f(x):
    return x


@f.def_vmap
def rule(size, batched, x):
    return x + ADDED, True
"""

JOB = """
kernel = "apply"
[params]
function = "functions.py:f"
"""


@pytest.mark.usefixtures("folder")
def test_a_function_that_differs_in_its_rule_for_batches_alone_is_compiled_anew(bench):
    bench.tasks({"x": [1.0, 2.0]})

    def of(added):
        bench.file("functions.py", BATCHED.replace("ADDED", added))
        return [row["value"] for row in bench.rows(JOB)]

    assert of("10.0") == [11.0, 12.0]
    assert of("20.0") == [21.0, 22.0]


def test_a_run_with_kept_programs_writes_the_same_bytes(folder, bench):
    bench.tasks({"x": np.linspace(0.1, 9.0, 1000)})
    bench.file("functions.py", "import jax.numpy as jnp\ndef f(x):\n    return jnp.sin(jnp.exp(x)) / x\n")

    def of():
        return [path.read_bytes() for path in sorted((bench.folder / "results" / "data").iterdir())]

    bench.run(JOB)
    first, kept = of(), programs(folder)
    assert len(kept) == 1
    forget()
    times = [path.stat().st_mtime_ns for path in kept]
    bench.run(JOB, restart=True)
    assert of() == first
    assert programs(folder) == kept
    assert [path.stat().st_mtime_ns for path in kept] != times  # which says that it was read


def test_width_precision_and_settings_make_other_programs(folder, bench):
    bench.tasks({"x": np.linspace(0.1, 9.0, 100)})
    bench.file("functions.py", "import jax.numpy as jnp\ndef f(x):\n    return jnp.sin(x)\n")
    count = 0
    for overrides in ([], ["compute.batch_rows=16"], ["compute.batch_rows=32"], ["compute.precision='float32'"]):
        bench.run(JOB, *overrides, restart=True)
        count += 1
        assert len(programs(folder)) == count
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        bench.run(JOB, restart=True)
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert len(programs(folder)) == count + 1
