"""Jobs, options and outputs that are refused: exit codes and messages."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import JOB

REFUSED = {
    "a missing column": (["input.columns={x='nope'}"], "no column 'nope'"),
    "a wrong type": (["input.columns={x='name'}"], "Column 'name' (the kernel's 'x') is string"),
    "an unknown key": (["input.pth='x'"], "Did you mean 'path'?"),
    "an unknown table": (["inputs.path='x'"], "Did you mean 'input'?"),
    "a wrong value's type": (["output.rows_per_part='many'"], "output.rows_per_part"),
    "an unknown kernel": (["kernel='derivative'"], "Did you mean 'derivatives'?"),
    "an unknown parameter": (["params.ordr=2"], "Did you mean 'order'?"),
    "a function that does not import": (["params.function='no.such.module:f'"], "'no.such.module:f'"),
    "a function that is not there": (["params.function='jax.numpy:sinn'"], "has no 'sinn'"),
    "a file that is not there": (["params.function='nofile.py:f'"], "there is no file"),
    "an argument with neither column nor constant": (["params.function='jax.numpy:power'"], "'x1', 'x2' have neither"),
    "an empty glob": (["input.path='nothing/*.parquet'"], "no Parquet file"),
    "output inside the input": (["output.path='tasks/results'"], "lies in"),
    "input inside the output": (["output.path='.'"], "lies in"),
    "an unused constant": (["input.constants={speed=1.0}"], "nothing uses the constant 'speed'"),
    "an unused column": (["input.columns={speed='x'}"], "no input 'speed'"),
    "a result named as a kept column": (["output.columns={value='id'}"], "a kept column"),
    "an unknown result": (["output.columns={valu='v'}"], "Did you mean 'value'?"),
    "a variable without a value": (["output.path='{date}'"], "'{date}' has no value"),
    "an unknown kept column": (["input.keep=['idd']"], "Did you mean 'id'?"),
    "a remote path": (["input.path='ftp://bucket/x'"], "only s3://, gs://, az://"),
}


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("case", list(REFUSED))
def test_refused_before_any_work_with_one_clear_message(case, command, main, job, tmp_path):
    overrides, message = REFUSED[case]
    pq.write_table(pa.table({"id": [1], "x": [0.0], "name": ["a"]}), tmp_path / "tasks" / "a.parquet")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = main(command, str(job), *(option for each in overrides for option in ("--set", each)))
    assert (code, out) == (4, "")
    assert message in err
    assert 1 <= len(err.strip().splitlines()) <= 3
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in str(path)) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("nonsense",),
        ("run", "job.toml", "--var", "date"),
        ("run", "job.toml", "--set", "a.b"),
        ("run", "job.toml", "--workers", "0"),
        ("run", "job.toml", "--engine", "spark"),
        ("run", "job.toml", "--engine", "local", "--address", "127.0.0.1:1"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("job")
def test_usage_is_exit_2(arguments, main):
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_a_misspelt_table_is_named_before_the_one_that_is_missing(main, job):
    job.write_text(JOB.replace("[input]", "[inputs]"))
    code, _, err = main("run", str(job))
    assert code == 4
    assert "unknown key" in err
    assert "Did you mean 'input'?" in err


def test_an_output_of_another_run_is_refused_with_the_difference(main, job):
    assert main("run", str(job))[0] == 0
    code, _, err = main("run", str(job), "--set", "params.order=2")
    assert code == 5
    assert "params.order was null, is 2" in err
    assert main("run", str(job), "--set", "params.order=2", "--restart")[0] == 0


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(main, job, tmp_path):
    (tmp_path / "results" / "job").mkdir(parents=True)
    precious = tmp_path / "results" / "job" / "precious.txt"
    precious.write_text("mine")
    for options in ((), ("--restart",)):
        code, _, err = main("run", str(job), *options)
        assert code == 5
        assert "precious.txt" in err
        assert precious.read_text() == "mine"


def test_an_unreachable_cluster_is_exit_75(main, job):
    code, out, err = main("run", str(job), "--address", "127.0.0.1:1", "--set", "compute.device='cpu'")
    assert (code, out) == (75, "")
    assert "127.0.0.1:1 cannot be reached" in err
