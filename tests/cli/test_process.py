"""The process of a command: what it imports, its signals, its end, and shell completion."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ("jax", "ray", "pyarrow", "importlib.metadata")),
        (["run", "--help"], ("jax", "ray", "pyarrow", "pydantic")),
        (["plan", "--help"], ("jax", "ray", "pyarrow", "pydantic")),
        (["verify", "results/job"], ("jax", "ray")),
        (["run", "job.toml", "--engine", "local", "--quiet"], ("ray",)),
    ],
    ids=str,
)
def test_what_a_command_does_not_import(arguments, absent, job, tmp_path):
    cli_run = "import sys\nfrom jaxbatch.cli import main\n"
    subprocess.run([sys.executable, "-m", "jaxbatch", "run", str(job), "--quiet"], check=True, cwd=tmp_path)
    code = f"{cli_run}try:\n    main({arguments!r})\nexcept SystemExit as ended:\n    assert not ended.code, ended\n"
    code += f"loaded = set({absent!r}) & set(sys.modules)\nassert not loaded, loaded\n"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)


def test_a_run_of_numbers_imports_nothing_that_it_does_not_use(bench):
    bench.tasks({"id": [1, 2, 3], "x": [1.0, 4.0, 16.0]})
    bench.job('kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sqrt"\norder = 1\n')
    code = (
        "import sys\nfrom jaxbatch.cli import main\n"
        "try:\n    main(['run', 'job.toml', '--quiet'])\n"
        "except SystemExit as ended:\n    assert not ended.code, ended\n"
        "unused = {'pandas', 'pyarrow.compute', 'pyarrow.dataset', 'ray', 'scipy'}\n"
        "assert not unused & set(sys.modules), unused & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=bench.folder)
    assert pq.read_table(bench.folder / "results" / "data").column("d1").to_pylist() == [0.5, 0.25, 0.125]


def test_a_signal_swallowed_by_a_destructor_is_raised_again():
    script = (
        "import os, signal, sys\nfrom jaxbatch.cli import signals\nfrom jaxbatch.errors import Interrupted\n\n"
        "class Destructor:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        for _ in range(99): pass\n\n"
        "signals.listen()\nDestructor()\n"
        "try:\n    signals.check()\nexcept Interrupted as error:\n    sys.exit(error.exit_code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "Exception ignored in" in ended.stderr
    assert ended.returncode == 143


def test_shells_complete_commands_and_options(tmp_path):
    def completed(words: str, at: int) -> str:
        asked = {**os.environ, "_JAXBATCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        program = Path(sys.executable).with_name("jaxbatch")
        return subprocess.run([program], env=asked, cwd=tmp_path, capture_output=True, text=True).stdout

    assert completed("jaxbatch ve", 1) == "plain,verify\n"
    assert "plain,--nothing-to-do-exit" in completed("jaxbatch run --no", 2)


def test_a_thread_left_by_user_code_does_not_delay_the_exit(jaxbatch, tmp_path):
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "tasks.parquet")
    (tmp_path / "lingers.py").write_text(
        "import threading, time\nimport jax.numpy as jnp\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
        "def f(x):\n    return jnp.sin(x)\n"
    )
    (tmp_path / "job.toml").write_text(
        'kernel = "derivatives"\n[params]\nfunction = "lingers.py:f"\n[input]\npath = "tasks.parquet"\n'
        '[output]\npath = "results"\n'
    )
    assert jaxbatch("run", "job.toml").returncode == 0  # or it would not end before its time is up
