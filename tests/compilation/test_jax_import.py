"""Importing JAX on a thread beside other imports."""

import subprocess
import sys
import types

import pyarrow.parquet as pq
import pytest

from jaxbatch.compilation import instructions

WITHOUT_JAX = (
    "jaxbatch.api",
    "jaxbatch.columns",
    "jaxbatch.compilation.code_identity",
    "jaxbatch.execution.appending",
    "jaxbatch.execution.engines.local",
    "jaxbatch.kernels.base",
    "jaxbatch.kernels.functions",
    "jaxbatch.kernels.registry",
    "jaxbatch.planning.planner",
    "jaxbatch.user_code",
)

NESTED = 'kernel = "regression"\n'
LONG = NESTED + '[params]\nfeatures = ["a", "b"]\ntarget = "y"\ngroup_by = ["g"]\n'


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_plans_and_what_schedules_is_imported_without_jax():
    imports = "".join(f"import {name}\n" for name in WITHOUT_JAX)
    _run(f"import sys\n{imports}assert not {{'jax', 'jaxlib', 'ray'}} & set(sys.modules), sorted(sys.modules)\n")


@pytest.mark.parametrize("text", [NESTED, LONG], ids=["nested", "long"])
def test_a_regression_on_cpus_runs_without_jax(bench, text):
    X = [[float(k), float(k * k % 7)] for k in range(12)]
    lists = {"X": [X], "y": [[1.0 + 2.0 * a - b for a, b in X]]}
    rows = {"g": [1] * 12, "a": [a for a, _ in X], "b": [b for _, b in X], "y": [1.0 + 2.0 * a - b for a, b in X]}
    bench.tasks(rows if text is LONG else lists)
    bench.job(text)
    _run(
        "import sys, jaxbatch\n"
        f"summary = jaxbatch.run({str(bench.folder / 'job.toml')!r}, engine='local')\n"
        "assert summary.statuses == {'ok': 1}, summary\n"
        "assert not {'jax', 'jaxlib'} & set(sys.modules)\n"
    )
    (row,) = pq.read_table(bench.folder / "results" / "data").to_pylist()
    assert row["coefficients"] == pytest.approx([1.0, 2.0, -1.0], rel=1e-14)


def test_others_wait_for_an_import_that_has_begun():
    """Whatever is imported beside it, and in whatever order, nobody sees half of JAX."""
    _run(
        "from jaxbatch.compilation.before_jax import jax_import\n"
        "assert not jax_import.imported()\n"
        "jax_import.begin()\n"
        "import jaxbatch.api, pyarrow.parquet, numpy.linalg\n"
        "from jaxbatch.kernels.builtin import derivatives, taylor\n"
        "import jax\n"
        "assert float(jax.grad(jax.numpy.sqrt)(4.0)) == 0.25\n"
        "jax_import.begin()\n"
        "assert jax_import.imported()\n"
    )


def test_an_import_that_fails_is_reported_by_whoever_needs_it(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('broken')\n")
    _run(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from jaxbatch.compilation.before_jax import jax_import\n"
        "jax_import.begin()\n"
        "jax_import._thread.join()\n"
        "assert not jax_import.imported()\n"
        "try:\n    import jax\nexcept ImportError as error:\n    assert str(error) == 'broken'\n"
        "else:\n    raise AssertionError('imported')\n"
    )


def test_jax_has_not_started_while_a_thread_imports_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", types.ModuleType("jax._src.xla_bridge"))
    assert not instructions.started()
