"""What a run's fingerprint covers, and what it leaves out."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, plan
from jaxbatch.errors import JobError

FUNCTIONS = """
import jax.numpy as jnp

WEIGHTS = jnp.array([1.0, 2.0, 3.0])


def helper(x):
    return 0.25 * x


def f(x, y, rate=0.5):
    return jnp.sin(helper(x)) * y * rate + jnp.polyval(WEIGHTS, x)
"""

JOB = """
kernel = "derivatives"
[params]
function = "functions.py:f"
order = 2
[input]
path = "tasks"
[output]
path = "results"
"""


XYZ = pa.table({"x": [1.0, 2.0], "y": [3.0, 3.0], "z": [0.0, 0.0]})


@pytest.fixture
def fingerprint(tmp_path_factory):
    """The fingerprint of the job above in a folder of its own, with one thing changed."""

    def of(
        functions=FUNCTIONS, job=JOB, name="job.toml", x=(1.0, 2.0), table=None, limit=None, overrides=(), **options
    ):
        folder = tmp_path_factory.mktemp("run")
        (folder / "functions.py").write_text(functions)
        (folder / name).write_text(job)
        (folder / "tasks").mkdir()
        table = pa.table({"x": list(x), "y": [3.0] * len(x)}) if table is None else table
        pq.write_table(table, folder / "tasks" / "a.parquet", **options)
        return plan(Job.load(folder / name, overrides=overrides), limit=limit).fingerprint

    return of


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"name": "other.toml"},
        {"overrides": ["name='other'"]},
        {"overrides": ["output.path='elsewhere/deep'"]},
        {"overrides": ["cluster.workers=7", "cluster.attempts=1", "cluster.part_timeout_s=5.0"]},
        {"overrides": ["limits.max_failed_rows=3"]},
        {"functions": FUNCTIONS.replace("return 0.25 * x", "return 0.25 * x  # a quarter")},
        {"functions": "# a comment\n\n" + FUNCTIONS.replace("def helper(x):", 'def helper(x):\n    """Says more."""')},
        {"functions": FUNCTIONS.replace("helper", "quarter")},
    ],
    ids=str,
)
def test_what_cannot_change_a_result_does_not_change_the_identity(same, fingerprint):
    assert fingerprint(**same) == fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"functions": FUNCTIONS.replace("0.25", "0.2500000001")},
        {"functions": FUNCTIONS.replace("3.0]", "3.0000001]")},
        {"functions": FUNCTIONS.replace("rate=0.5", "rate=0.6")},
        {"functions": FUNCTIONS.replace("jnp.sin", "jnp.cos")},
        {"functions": FUNCTIONS.replace("def f(x, y,", "def f(x, z,").replace(" * y *", " * z *"), "table": XYZ},
        {"overrides": ["params.order=1"]},
        {"overrides": ["params.wrt=['x']"]},
        {"overrides": ["input.constants={rate=0.7}"]},
        {"overrides": ["input.columns={y='x'}"]},
        {"overrides": ["input.keep=['x']"]},
        {"overrides": ["output.columns={value='v'}"]},
        {"overrides": ["output.rows_per_part=10"]},
        {"overrides": ["output.compression='zstd'"]},
        {"overrides": ["compute.precision='float32'"]},
        {"overrides": ["compute.batch_rows=16"]},
        {"x": (1.0, 2.5)},
        {"x": (1.0, 2.0, 3.0)},
        {"table": XYZ},
        {"compression": "gzip"},
        {"limit": 1},
    ],
    ids=str,
)
def test_what_can_change_a_bit_changes_the_identity(changed, fingerprint):
    assert fingerprint(**changed) != fingerprint()


def test_a_large_constant_counts_to_its_last_element(fingerprint):
    def with_weights(last: float) -> str:
        weights = f"jnp.arange(5000.0).at[4999].set({last})"
        loaded = f"__import__('numpy').asarray({weights})"  # as a file of weights would be
        return FUNCTIONS.replace("jnp.array([1.0, 2.0, 3.0])", loaded).replace(
            "jnp.polyval(WEIGHTS, x)", "jnp.sum(jnp.asarray(WEIGHTS)) * x"
        )

    assert fingerprint(with_weights(1.0)) != fingerprint(with_weights(1.0000001))
    assert fingerprint(with_weights(1.0)) == fingerprint(with_weights(1.0))


@pytest.mark.parametrize("library", ["jax", "jaxlib", "numpy", "pyarrow"])
def test_another_version_of_a_library_is_another_run(library, fingerprint, monkeypatch):
    before = fingerprint()
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1" if name == library else version(name))
    assert fingerprint() != before


def test_another_kind_of_device_is_another_run(tmp_path):
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "job.toml").write_text(JOB)
    (tmp_path / "tasks").mkdir()
    pq.write_table(pa.table({"x": [1.0], "y": [2.0]}), tmp_path / "tasks" / "a.parquet")
    job = Job.load(tmp_path / "job.toml")
    assert plan(job, device="cpu").fingerprint != plan(job, device="NVIDIA H100").fingerprint


KERNEL = """
from jaxbatch import Column, Kernel

class Own(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("z"),)
    buckets = 2

    def bucket(self, columns):
        return (columns["x"] > 1.5).astype(int)

    def program(self, bucket):
        return lambda x: {"z": x * (bucket + 1)}
"""


@pytest.mark.parametrize(
    ("code", "same"),
    [
        (KERNEL.replace("> 1.5", "> 2.5"), False),
        (KERNEL.replace("bucket + 1", "bucket + 2"), False),
        (KERNEL.replace(".astype(int)", ".astype( int )  # a comment"), True),
        (KERNEL.replace("class Own(Kernel):", 'class Own(Kernel):\n    """A docstring."""\n'), True),
    ],
)
def test_what_an_own_kernel_does_on_the_host_counts(code, same, fingerprint):
    job = 'kernel = "functions.py:Own"\n[input]\npath = "tasks"\n[output]\npath = "results"\n'
    assert (fingerprint(code, job=job) == fingerprint(KERNEL, job=job)) == same


def test_which_column_an_argument_reads_and_how_results_are_named_count(fingerprint):
    argument = FUNCTIONS.replace("def f(x, y,", "def f(x, z,").replace(" * y *", " * z *")
    assert fingerprint(table=XYZ) != fingerprint(argument, table=XYZ)
    apply = 'kernel = "apply"\n[params]\nfunction = "functions.py:f"\n[input]\npath = "tasks"\n[output]\npath = "r"\n'
    code = "def f(x):\n    return {'wave': 2 * x}\n"
    assert fingerprint(code, job=apply) != fingerprint(code.replace("wave", "alpha"), job=apply)


def test_the_order_in_which_functions_are_listed_does_not_count(fingerprint):
    job = JOB.replace('function = "functions.py:f"', "functions = { a = 'functions.py:f', b = 'functions.py:g' }")
    code = FUNCTIONS + "\n\ndef g(x, y):\n    return x - y\n"
    table = pa.table({"x": [1.0], "y": [2.0], "function": ["a"]})
    swapped = job.replace("a = 'functions.py:f', b = 'functions.py:g'", "b = 'functions.py:g', a = 'functions.py:f'")
    assert fingerprint(code, job=job, table=table) == fingerprint(code, job=swapped, table=table)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("random.random() * x * y", "traces to a different program each time"),
        ("jax.pure_callback(np.sin, x, x) * y", "calls back into Python"),
    ],
)
def test_what_is_not_pure_is_refused(body, message, fingerprint):
    code = f"import random\nimport jax\nimport numpy as np\n\n\ndef f(x, y):\n    return {body}\n"
    job = JOB.replace("order = 2", "order = 0")
    with pytest.raises(JobError, match=message):
        fingerprint(code, job=job)


def test_a_key_of_a_random_generator_is_a_constant_like_others(fingerprint):
    code = "import jax\n\nKEY = jax.random.key(0)\n\n\ndef f(x, y):\n    return x * y * jax.random.uniform(KEY)\n"
    assert fingerprint(code) == fingerprint(code)
    assert fingerprint(code) != fingerprint(code.replace("key(0)", "key(1)"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such choice")
def test_the_instructions_are_those_that_every_machine_has(jaxbatch, tmp_path):
    assert jaxbatch("init", ".", "--kernel", "regression").returncode == 0
    assert jaxbatch("run", "job.toml").returncode == 0
    said = json.loads(next(tmp_path.glob("results/*/_jaxbatch/plan.json")).read_text())["identity"]["code"]
    assert "--xla_cpu_max_isa=AVX2" in said["xla_flags"]
    assert said["instructions"] == "x86_64 AVX2"
    other = jaxbatch("run", "job.toml", env={**os.environ, "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"})
    assert other.returncode == 5
    assert "XLA_FLAGS was" in other.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such choice")
def test_where_jax_has_started_its_instructions_are_told_as_they_are(jaxbatch, tmp_path):
    assert jaxbatch("init", ".").returncode == 0
    script = (
        "import jax, jaxbatch\njax.devices()\n"
        "print(jaxbatch.plan('job.toml').identity['code']['xla_flags'])\n"
        "jaxbatch.run('job.toml')\nprint(jaxbatch.plan('job.toml').identity['code']['xla_flags'])\n"
        "import os\nfrom jaxbatch.compilation import instructions\nwith instructions.worker_xla_flags():\n"
        "    assert 'AVX2' in os.environ['XLA_FLAGS']\n"
        "assert 'XLA_FLAGS' not in os.environ\nassert instructions.startup_env().flags == ''\n"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "\n\n"), ended.stderr
