"""Flags and settings under which a status or a last digit would be wrong: refused by name, before any work."""

import os
import subprocess
import sys

import jax
import pytest

from jaxbatch import Job, api, least_squares
from jaxbatch.compilation import instructions, invariants, xla_flags
from jaxbatch.errors import ExitCode, JobError
from jaxbatch.execution import tracing
from jaxbatch.kernels.builtin.regression import kernel
from jaxbatch.planning import planner

FAST = "--xla_cpu_enable_fast_math=true"
WITHOUT_NAN = f"{FAST} --xla_cpu_fast_math_honor_nans=false --xla_cpu_fast_math_honor_infs=false"

JOB = 'kernel = "apply"\nparams.function = "jax.numpy:sqrt"\n'


@pytest.fixture
def job(bench) -> Job:
    bench.tasks({"x": [-1.0, 4.0]})
    return bench.job(JOB)


@pytest.fixture
def flags(bench, monkeypatch):
    """Set variables as processes have them that are yet to start: XLA has read this one's own."""

    def set_(**variables: str):
        bench.file("flags.txt", f"--xla_dump_hlo_as_text=false\n{FAST}\n")
        bench.file("fine.txt", "--xla_dump_hlo_as_text=false\n")
        monkeypatch.chdir(bench.folder)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return instructions.worker_xla_flags()

    return set_


WRONG = {
    FAST: FAST,
    WITHOUT_NAN: WITHOUT_NAN,
    "--xla_cpu_enable_fast_math": "--xla_cpu_enable_fast_math",
    "--xla_cpu_enable_fast_math=True --xla_cpu_enable_fast_math=1": "--xla_cpu_enable_fast_math=1",
    "--xla_cpu_enable_fast_math='true'": FAST,
    "--xla_cpu_enable_fast_math true": "--xla_cpu_enable_fast_math",
    "--xla_cpu_enable_fast_math=false\n  --xla_cpu_enable_fast_math=true": FAST,
    "--xla_gpu_enable_fast_min_max=true": "--xla_gpu_enable_fast_min_max=true",
    "flags.txt": FAST,
}


@pytest.mark.parametrize("text", WRONG)
def test_flags_that_are_known_are_refused_by_name(text, flags, job):
    with flags(XLA_FLAGS=text), pytest.raises(JobError) as caught:
        planner.plan(job)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert f"XLA_FLAGS has {WRONG[text]}, " in caught.value.what
    assert "XLA_FLAGS" in os.environ


@pytest.mark.parametrize("text", ["--xla_tpu_enable_fast_math=true", "--flagfile=tpu.txt"])
def test_so_are_those_of_a_tpus_compiler(text, flags, job, bench):
    bench.file("tpu.txt", "# ours\n--a=1\n--xla_tpu_enable_fast_math=true\n")
    with flags(LIBTPU_INIT_ARGS=text), pytest.raises(JobError, match="LIBTPU_INIT_ARGS has --xla_tpu_enable_fast_math"):
        planner.plan(job)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--xla_force_host_platform_device_count=2",
        "--xla_dump_to=somewhere --xla_dump_hlo_as_text",
        "--xla_cpu_fast_math_honor_nans=false",  # which says nothing without the other
        "--xla_cpu_enable_fast_math=false",
        "--xla_cpu_enable_fast_math=true --xla_cpu_enable_fast_math=false",
        "--xla_cpu_enable_fast_min_max=true",  # as it is by default
        "--xla_cpu_prefer_vector_width=128",
        "fine.txt",
    ],
)
def test_others_are_let_alone(text, flags):
    with flags(XLA_FLAGS=text):
        invariants.check()


def test_a_file_that_is_not_there_is_told(flags):
    with (
        pytest.raises(JobError, match=r"'absent.txt', which is neither a flag nor a readable file"),
        flags(XLA_FLAGS="absent.txt"),
    ):
        pass


@pytest.mark.parametrize("name", ["jax_debug_nans", "jax_debug_infs", "jax_disable_jit", "jax_no_execution"])
def test_settings_of_jax_are_refused_too(name, job):
    jax.config.update(name, True)
    try:
        with pytest.raises(JobError, match=f"{name.upper()} is set"):
            api.run(job, engine="local")
    finally:
        jax.config.update(name, False)


def test_a_worker_looks_for_itself(flags, job):
    planned = planner.plan(job)
    with flags(XLA_FLAGS=FAST), pytest.raises(JobError, match=r"A worker on .*: XLA_FLAGS has --xla_cpu_enable"):
        tracing.retrace_and_check(planned, jax.devices()[0])


def python(bench, script: str, **variables: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=bench.folder, env=plain | variables, capture_output=True, text=True
    )
    return ended.stdout + ended.stderr


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_command_refuses_them(engine, bench):
    script = f"from jaxbatch.cli import main\nmain(['run', 'job.toml', '--engine', '{engine}'])"
    said = python(bench, script, XLA_FLAGS=WITHOUT_NAN)
    assert said.startswith(f"Error: XLA_FLAGS has {WITHOUT_NAN}, ")
    assert not (bench.folder / "results").exists()


@pytest.mark.usefixtures("job")
def test_flags_that_jax_started_with_count_whatever_the_environment_says_by_now(bench):
    script = (
        "import os, jax\njax.devices()\ndel os.environ['XLA_FLAGS']\nimport jaxbatch\n"
        "try:\n    jaxbatch.run('job.toml', engine='local')\nexcept Exception as error:\n    print(error)"
    )
    assert "as JAX started with it in this process has --xla_cpu_enable_fast_math" in python(
        bench, script, XLA_FLAGS=FAST
    )


def test_what_is_lost_under_flags_of_whatever_name_is_found_on_the_device(bench):
    script = (
        "import jax, re\nfrom jaxbatch.compilation import process_setup, invariants\n"
        "process_setup.prepare(platforms='cpu')\n"
        "invariants._UNSAFE_FLAGS = re.compile('no flag')\n"  # as if nobody knew
        "try:\n    invariants.check()\nexcept Exception as error:\n    print(error)"
    )
    said = python(bench, script, XLA_FLAGS=WITHOUT_NAN)
    assert f"XLA_FLAGS has {WITHOUT_NAN}, under which results can be wrong: here " in said
    assert "√−1 is finite" in said
    assert "sums are not rounded one by one" in python(bench, script, XLA_FLAGS=FAST)


def test_flags_are_read_as_xla_reads_them():
    text = """ --a='x y' --b="c\\"d" --c=1\n--d --c=2 -- stray --e=1"""
    assert xla_flags.parsed(text) == {"a": "x y", "b": 'c"d', "c": "2", "d": "", "": ""}


def test_where_auto_can_only_be_qr_the_long_layout_says_so(bench, monkeypatch):
    monkeypatch.setattr(kernel, "BY_NUMPY", ())  # a device of which there is none here
    monkeypatch.setattr(least_squares, "error_free_transforms_hold", lambda: False)
    bench.tasks({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 2.0]})
    job = bench.job('kernel = "regression"\nparams.features = ["x"]\nparams.target = "y"\n')
    with pytest.raises(JobError) as caught:
        planner.plan(job)
    assert '"auto" means QR' in caught.value.what
    assert '"auto"' not in caught.value.remedy
