"""What the processor, its cores and the environment decide: fixed, or part of the identity."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.output.differences import differences

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such choice")

CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="OpenBLAS takes no more threads than cores")

OURS = ("NPROC", "XLA_FLAGS", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

JOB = """
kernel = "apply"
[params]
function = "function.py:f"
[input]
path = "tasks.parquet"
[output]
path = "results/OUTPUT"
"""

SOLVE = """
import jax.numpy as jnp

def f(x):
    i = jnp.arange(320.0)
    A = jnp.cos(i[:, None] * i + x) + 400.0 * jnp.eye(320)
    return {"y": jnp.linalg.solve(A, jnp.sin(i)).sum(), "z": jnp.linalg.cholesky(A @ A.T).sum()}
"""


class Site:
    """A job and its tasks, run in a process of its own with some variables set."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._runs = 0

    def python(self, script: str, **variables: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        ended = subprocess.run(
            [sys.executable, "-c", script],
            cwd=self.folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def run(self, before: str = "", **variables: str) -> tuple[str, str, dict]:
        """The fingerprint, a digest of the parts, and what the identity says of the machine."""
        self._runs += 1
        (self.folder / "job.toml").write_text(JOB.replace("OUTPUT", str(self._runs)))
        self.python(f"{before}\nfrom jaxbatch.cli import main\nmain(['run', 'job.toml', '--quiet'])", **variables)
        output = self.folder / "results" / str(self._runs)
        plan = json.loads((output / "_jaxbatch" / "plan.json").read_text())
        columns = pa.concat_tables(map(pq.read_table, sorted((output / "data").iterdir())))
        digest = hashlib.sha256(repr(columns.to_pydict()).encode()).hexdigest()
        return plan["fingerprint"], digest, plan["identity"]["code"]


@pytest.fixture
def site(bench) -> Site:
    bench.file("function.py", SOLVE)
    bench.tasks({"x": np.linspace(0.0, 1.0, 3)})
    return Site(bench.folder)


def tells_apart(one, other, word: str) -> None:
    assert other[1] != one[1]  # or the test shows nothing
    assert other[0] != one[0]
    (said,) = differences({"code": one[2]}, {"code": other[2]})
    assert "OPENBLAS_CORETYPE" in said
    assert word in said


@X86
def test_the_code_that_lapack_takes_is_fixed_or_tells_runs_apart(site):
    usual, other = site.run(), site.run(OPENBLAS_CORETYPE="Prescott")
    assert usual[2]["linear_algebra"].endswith(", Haswell, 1 thread")
    tells_apart(usual, other, "Katmai")


@CORES
def test_the_threads_that_lapack_takes_are_fixed_or_tell_runs_apart(site):
    usual = site.run()
    assert usual == site.run(OMP_NUM_THREADS="4")
    tells_apart(usual, site.run(OPENBLAS_NUM_THREADS="2"), "2 threads")
    tells_apart(usual, site.run("import scipy.linalg.cython_lapack"), "threads")  # which takes all cores


def test_a_later_process_runs_a_program_that_calls_lapack_without_lowering_it(site, compiled_programs):
    first = site.run()
    assert any(file.stat().st_size for file in (compiled_programs / "jaxbatch").iterdir())  # it was kept
    assert site.run() == first


def test_what_calls_no_lapack_is_the_same_run_whatever_it_is(site, bench):
    bench.file("function.py", "def f(x):\n    return {'y': 2 * x}\n")
    usual, other = site.run(), site.run(OPENBLAS_CORETYPE="Prescott", OPENBLAS_NUM_THREADS="3")
    assert usual == other
    assert "linear_algebra" not in usual[2]
    assert usual[2]["cpus"] == "8"


def test_where_jax_has_started_what_it_started_with_counts(site, bench):
    bench.file("function.py", "def f(x):\n    return {'y': 2 * x}\n")
    start = "import jax, os\njax.devices()\n"
    usual = site.run()
    other = site.run(start, NPROC="3", XLA_FLAGS="--xla_cpu_prefer_vector_width=128")
    none = site.run(start)
    assert other[2]["cpus"] == "3"
    assert other[2]["xla_flags"] == "--xla_cpu_prefer_vector_width=128"
    assert none[2]["cpus"] == str(len(os.sched_getaffinity(0)))
    assert len({usual[0], other[0], none[0]}) == 3
    said = "; ".join(differences({"code": usual[2]}, {"code": other[2]}))
    assert 'the number of CPUs that XLA counts (NPROC) was "8", is "3"' in said
    assert "XLA_FLAGS was " in said


def test_options_of_the_compiler_that_jax_sets_tell_runs_apart(site, bench):
    bench.file("function.py", "def f(x):\n    return {'y': 2 * x}\n")
    usual, other = site.run(), site.run(JAX_OPTIMIZATION_LEVEL="O1")
    assert usual[0] != other[0]
    (said,) = differences({"code": usual[2]}, {"code": other[2]})
    assert "jax_optimization_level" in said


@CORES
def test_workers_that_are_yet_to_start_are_asked_about_and_not_this_process(site):
    script = (
        "import numpy, scipy.linalg.cython_lapack\n"
        "from jaxbatch.compilation import process_setup, instructions, linear_algebra\n"
        "process_setup.prepare()\nhere = linear_algebra.run_lapack()\n"
        "with instructions.worker_xla_flags():\n    there = linear_algebra.run_lapack()\n"
        "print(here, there, sep='\\n')"
    )
    here, there = site.python(script).splitlines()
    assert here.endswith(" threads")
    assert there.endswith("1 thread")


def test_the_words_that_differ_in_long_flags_are_shown():
    many = " ".join(f"--xla_dump_number_{number}=1" for number in range(9))
    (said,) = differences({"code": {"xla_flags": f"{many} --a=1"}}, {"code": {"xla_flags": f"{many} --b=2"}})
    assert said == 'XLA_FLAGS was "… --a=1 …", is "… --b=2 …"'
