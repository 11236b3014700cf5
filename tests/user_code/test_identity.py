"""What a run's identity knows of code that its traces do not show."""

import importlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, plan
from jaxbatch.errors import JobError
from jaxbatch.user_code import forget

JOB = """
kernel = "{kernel}"
[params]
{params}
[input]
path = "tasks.parquet"
[output]
path = "results"
"""

RULE = """
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

SCALE = 2.0


@custom_vmap
def double(x):
    return 2.0 * x


@double.def_vmap
def _(axis_size, in_batched, x):
    return SCALE * x, True


def f(x):
    return double(x) + 1.0
"""

JVP_OF_A_RULE = RULE.replace("return double(x) + 1.0", "return jax.jvp(double, (x,), (x,))[1]")
SEQUENTIAL = RULE.replace("return double(x) + 1.0", "return jax.custom_batching.sequential_vmap(double)(x)")

PRIMITIVE = """
import jax
from jax.extend import core
from jax.interpreters import batching, mlir

SCALE = 2.0
scaled_p = core.Primitive("scaled")
scaled_p.def_abstract_eval(lambda x: x)
batching.defvectorized(scaled_p)
mlir.register_lowering(scaled_p, mlir.lower_fun(lambda x: SCALE * x, multiple_results=False))


def f(x):
    return scaled_p.bind(x)
"""


@pytest.fixture
def fingerprint(tmp_path):
    """The fingerprint of a job whose files are written anew."""
    pq.write_table(pa.table({"x": [1.0, 2.0, 3.0]}), tmp_path / "tasks.parquet")

    def of(kernel="apply", params='function = "functions.py:f"', **files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (tmp_path / "job.toml").write_text(JOB.format(kernel=kernel, params=params))
        return plan(Job.load(tmp_path / "job.toml")).fingerprint

    return of


@pytest.mark.parametrize(
    "code", [RULE, JVP_OF_A_RULE, SEQUENTIAL, PRIMITIVE], ids=["rule", "jvp", "sequential", "primitive"]
)
def test_python_that_no_trace_shows_counts(code, fingerprint):
    before = fingerprint(functions=code)
    assert fingerprint(functions=code.replace("SCALE = 2.0", "SCALE = 3.0")) != before
    assert fingerprint(functions=code + "\n\n# a comment\n") == before
    helper = code.replace("SCALE = 2.0", "from constants import SCALE")
    with_helper = fingerprint(functions=helper, constants="SCALE = 2.0\n")
    assert fingerprint(functions=helper, constants="SCALE = 3.0\n") != with_helper


def test_what_cannot_be_batched_is_refused(fingerprint):
    code = RULE.replace("return SCALE * x, True", "raise ValueError('not today')")
    with pytest.raises(JobError, match=r"cannot be batched at functions.py, line \d+, .*not today"):
        fingerprint(functions=code)


def test_weights_in_a_rule_count(fingerprint, tmp_path):
    import numpy as np

    loaded = "import numpy as np, pathlib\nSCALE = np.load(pathlib.Path(__file__).parent / 'w.npy')"
    code = RULE.replace("SCALE = 2.0", loaded)
    np.save(tmp_path / "w.npy", np.array(2.0))
    before = fingerprint(functions=code)
    np.save(tmp_path / "w.npy", np.array(3.0))
    assert fingerprint(functions=code) != before


@pytest.mark.parametrize(
    ("kernel", "result"),
    [
        ("derivatives", "x * x"),
        ("derivatives", "jax.scipy.special.logsumexp(jnp.stack([x, 2 * x]))"),
        ("apply", "jnp.stack([x, 2 * x])"),
        ("apply", "x * jax.random.normal(jax.random.key(0))"),
        ("apply", "jnp.linalg.eigh(jnp.eye(2) * x)[0]"),
        ("apply", "jax.checkpoint(jnp.sin)(x) + jnp.tile(x, 3)"),
    ],
)
def test_other_code_in_the_file_of_a_traced_function_does_not_count(kernel, result, fingerprint):
    code = (
        "import jax\nimport jax.numpy as jnp\nimport jax.scipy.special\n\nEPOCH = jnp.array(1_700_000_000_000)\n"
        f"\n\ndef f(x):\n    return {result} + EPOCH\n"
    )
    before = fingerprint(kernel=kernel, functions=code)
    assert fingerprint(kernel=kernel, functions=code + "\n\ndef g(x):\n    return x\n") == before


def test_the_file_of_a_function_is_executed_once(fingerprint, tmp_path):
    for code in (RULE, PRIMITIVE, "def f(x):\n    return x * x\n"):
        (tmp_path / "times").unlink(missing_ok=True)
        times = (
            "\nimport pathlib\nwith open(pathlib.Path(__file__).parent / 'times', 'a') as file:\n    file.write('1')\n"
        )
        fingerprint(functions=code + times)
        assert (tmp_path / "times").read_text() == "1"


def test_files_of_one_name_count_each_and_where_they_lie_does_not(tmp_path_factory):
    def of(first: float, second: float) -> str:
        folder = tmp_path_factory.mktemp("job")
        pq.write_table(pa.table({"x": [1.0], "function": ["a"]}), folder / "tasks.parquet")
        for name, scale in (("a", first), ("b", second)):
            (folder / name).mkdir()
            (folder / name / "functions.py").write_text(PRIMITIVE.replace("2.0", str(scale)))
        params = "functions = { a = 'a/functions.py:f', b = 'b/functions.py:f' }\norder = 0"
        (folder / "job.toml").write_text(JOB.format(kernel="derivatives", params=params))
        return plan(Job.load(folder / "job.toml")).fingerprint

    fingerprints = {(first, 10.0): of(first, 10.0) for first in (2.0, 3.0, 4.0, 5.0)}
    assert len(set(fingerprints.values())) == 4
    assert all(of(*scales) == found for scales, found in fingerprints.items())


OWN = """
from jaxbatch import Column, Kernel
LIMITS


class Own(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)
    buckets = 2

    def bucket(self, columns):
        return (columns["x"] * A > B).astype(int)

    def program(self, bucket):
        return lambda x: {"y": x * (bucket + 1)}
"""


def test_which_name_stands_for_which_value_counts(fingerprint):
    own = {"kernel": "functions.py:Own", "params": ""}
    code = OWN.replace("LIMITS", "from a.constants import V as A\nfrom b.constants import V as B")
    two, ten = "V = 2.0\n", "V = 10.0\n"
    before = fingerprint(**own, functions=code, a__in__constants=two, b__in__constants=ten)
    assert fingerprint(**own, functions=code, a__in__constants=ten, b__in__constants=two) != before


def test_what_an_own_kernel_read_at_import_counts(fingerprint, tmp_path):
    own = {"kernel": "functions.py:Own", "params": ""}
    read = "A, B = map(float, (pathlib.Path(__file__).parent / 'limits.txt').read_text().split())"
    code = OWN.replace("LIMITS", f"import pathlib\n{read}")
    (tmp_path / "limits.txt").write_text("1.0 2.0")
    before = fingerprint(**own, functions=code)
    (tmp_path / "limits.txt").write_text("1.0 3.0")
    assert fingerprint(**own, functions=code) != before


def test_what_lies_elsewhere_counts_as_it_was_imported(fingerprint, tmp_path_factory, monkeypatch):
    """A kernel, or a helper of one, on Python's path: edited files of a module that is there already change nothing."""
    site = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # bytecode is told by a time in seconds and a size

    def of(limit: str, *, anew: bool, **job: str) -> str:
        (site / "path_limit.py").write_text(f"B = {limit}\n")
        (site / "path_kernel.py").write_text(OWN.replace("LIMITS", "from path_limit import B\nA = 1.0"))
        importlib.invalidate_caches()
        if anew:  # as a new process would have it
            forget()
            for name in ("path_kernel", "path_limit"):
                sys.modules.pop(name, None)
        return fingerprint(**job)

    helped = OWN.replace("LIMITS", "from path_limit import B\nA = 1.0")
    try:
        for job in (
            {"kernel": "path_kernel:Own", "params": ""},
            {"kernel": "functions.py:Own", "params": "", "functions": helped},
        ):
            first = of("1.5", anew=True, **job)
            assert of("7.5", anew=False, **job) == first
            assert of("7.5", anew=True, **job) != first
            assert of("1.5", anew=True, **job) == first
    finally:
        for name in ("path_kernel", "path_limit"):
            sys.modules.pop(name, None)


KERNEL = """
import numpy as np
from helper import LIMIT
from jaxbatch import Column, Kernel
from bound import Bound


class Own(Kernel):
    def bind(self, context):
        return Bound()
"""
BOUND = """
import dataclasses
from jaxbatch import Column, Kernel
from stage import Second
from helper import LIMIT


class Bound(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)
    buckets = 2
    second_stage = Second()

    def bucket(self, columns):
        return (columns["x"] > LIMIT).astype(int)

    def program(self, bucket):
        return lambda x: {"y": x * (bucket + 1)}
"""
STAGE = """
from jaxbatch import Column, Kernel


class Second(Kernel):
    inputs = (Column("y"),)
    outputs = (Column("z"),)

    def size(self, dimension, lengths):
        return lengths

    def row(self, y):
        return {"z": y}
"""


def test_all_classes_of_an_own_kernel_count_with_what_they_import(fingerprint):
    files = {"functions": KERNEL, "bound": BOUND, "stage": STAGE, "helper": "LIMIT = 1.5\n"}
    own = {"kernel": "functions.py:Own", "params": ""}
    before = fingerprint(**own, **files)
    assert fingerprint(**own, **files) == before
    for name, old, new in (
        ("helper", "1.5", "2.5"),
        ("stage", "return lengths", "return 2 * lengths"),
        ("bound", "> LIMIT", ">= LIMIT"),
    ):
        assert fingerprint(**own, **{**files, name: files[name].replace(old, new)}) != before
    for name in files:
        assert fingerprint(**own, **{**files, name: '"""Says more."""\n' + files[name] + "\n# more\n"}) == before


def test_a_kernel_that_was_edited_after_its_import_is_the_new_one(fingerprint):
    own = {"kernel": "functions.py:Own", "params": ""}
    files = {"functions": KERNEL, "bound": BOUND, "stage": STAGE, "helper": "LIMIT = 1.5\n"}
    before = fingerprint(**own, **files)
    assert fingerprint(**own, bound=BOUND.replace("bucket + 1", "bucket + 3")) != before


def test_an_installed_kernel_counts_by_its_source_or_version(fingerprint, tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    names = ("installed_kernels", "installed_limit")

    def of(limit: str) -> str:
        importlib.invalidate_caches()
        for name in names:
            sys.modules.pop(name, None)
        (site / "installed_limit.py").write_text(f"LIMIT = {limit}\n")
        alone = BOUND.replace("from stage import Second\n", "").replace("    second_stage = Second()\n", "")
        (site / "installed_kernels.py").write_text(alone.replace("helper", "installed_limit"))
        return fingerprint(kernel="installed_kernels:Bound", params="")

    try:
        assert of("1.5") == of("1.5")
        assert of("1.5") != of("12.5")
    finally:
        for name in names:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("kernel", "params"),
    [
        ("functions.py:Own", ""),
        ("derivatives", "functions = { a = 'functions.py:pure', b = 'functions.py:f' }\norder = 0"),
    ],
)
def test_what_is_impure_in_a_later_program_only_is_refused(kernel, params, fingerprint, tmp_path):
    pq.write_table(pa.table({"x": [1.0], "function": ["a"]}), tmp_path / "tasks.parquet")
    code = (
        "import random\nfrom jaxbatch import Column, Kernel\n\n\ndef pure(x):\n    return x\n\n\ndef f(x):\n"
        "    return random.random() * x\n\n\nclass Own(Kernel):\n    inputs = (Column('x'),)\n"
        "    outputs = (Column('z'),)\n    buckets = 3\n\n    def program(self, bucket):\n"
        "        return lambda x: {'z': f(x) if bucket == 2 else x}\n"
    )
    with pytest.raises(JobError, match="traces to a different program each time"):
        fingerprint(kernel=kernel, params=params, functions=code)
