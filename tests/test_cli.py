"""The command line: exit codes, messages, JSON, and what is not imported."""

import contextlib
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import cli
from jaxbatch.cli import job_templates

JOB = """
kernel = "derivatives"
[params]
function = "jax.numpy:sin"
[input]
path = "tasks/*.parquet"
[output]
path = "results/{name}"
"""


@pytest.fixture
def main(tmp_path, monkeypatch, capfd):
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return run


@pytest.fixture
def job(tmp_path):
    """A job with three rows of tasks."""
    (tmp_path / "tasks").mkdir()
    pq.write_table(pa.table({"id": [1, 2, 3], "x": [0.0, 1.0, 2.0]}), tmp_path / "tasks" / "a.parquet")
    path = tmp_path / "job.toml"
    path.write_text(JOB)
    return path


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
    "an unused constant": (["input.constants={speed=1.0}"], "nothing takes the constant 'speed'"),
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


def test_run_prints_one_json_object_and_nothing_else_on_stdout(main, job, tmp_path):
    (tmp_path / "noisy.py").write_text(
        "import os\nimport jax.numpy as jnp\nprint('loading')\nos.write(1, b'from C')\n\n"
        "def f(x):\n    print('tracing')\n    return jnp.sin(x)\n"
    )
    code, out, err = main("run", str(job), "--json", "--set", "params.function='noisy.py:f'")
    summary = json.loads(out)
    promised = "exit_code output fingerprint rows failed_rows flagged_rows statuses parts parts_done parts_failed"
    assert set(f"{promised} parts_skipped seconds rows_per_second stages".split()) <= set(summary)
    assert (code, summary["exit_code"], summary["rows"]) == (0, 0, 3)
    assert "tracing" in err


@pytest.mark.parametrize("seconds", [0.0, 0.4], ids=["at once", "for a while"])
def test_a_terminal_shows_a_bar(seconds, tmp_path):
    shutil.copy(Path(__file__).parent / "counting.py", tmp_path)
    pq.write_table(pa.table({"x": [0.0] * 40}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(
        f'kernel = "counting.py:Counting"\nparams = {{ seconds = {seconds} }}\n'
        '[input]\npath = "tasks.parquet"\n[output]\npath = "results"\nrows_per_part = 10\n'
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--workers", "1"]
    size = {"TERM": "xterm", "COLUMNS": "120", "LINES": "24"}
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **size}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    with contextlib.suppress(OSError):  # the end of a terminal
        while read := os.read(ours, 4096):
            shown += read
    os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    assert b"40 (40 ok)" in shown
    assert b"Error" not in shown
    if seconds:
        assert re.search(rb"[1-3]0 of 40 rows .* rows/s .* 0 failed rows", shown)


def test_files_that_are_left_out_are_told(main, job, tmp_path):
    (tmp_path / "tasks" / "b.parquet").write_bytes(b"nothing of the kind")
    skip = ("--set", "input.on_bad_file='skip'")
    code, out, err = main("run", str(job), "--json", *skip)
    assert (code, json.loads(out)["files_skipped"], json.loads(out)["rows"]) == (0, 1, 3)
    assert "1 could not be used and were left out" in err
    assert "left out  1 file, see below" in re.sub(" +", lambda gap: gap[0][:2], main("plan", str(job), *skip)[1])


def test_a_misspelt_table_is_named_before_the_one_that_is_missing(main, job):
    job.write_text(JOB.replace("[input]", "[inputs]"))
    code, _, err = main("run", str(job))
    assert code == 4
    assert "unknown key" in err
    assert "Did you mean 'input'?" in err


def test_quiet_says_nothing_but_the_reason_of_a_failure(main, job, tmp_path):
    assert main("run", str(job), "--quiet") == (0, "", "")
    pq.write_table(pa.table({"id": [1], "x": [None]}, schema=pa.schema({"id": "int64", "x": "float64"})),
                   tmp_path / "tasks" / "a.parquet")  # fmt: skip
    code, out, err = main("run", str(job), "--quiet", "--restart")
    assert (code, out) == (3, "")
    assert "1 of 1 rows failed" in err


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


def test_plan_shows_what_a_resume_would_skip_and_writes_nothing(main, job, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = main("plan", str(job), "--json")
    fresh = json.loads(out)
    assert code == 0
    assert (fresh["rows"], fresh["shards"], fresh["parts"], fresh["parts_skipped"]) == (3, 1, 1, 0)
    assert fresh["programs"][0]["batch_rows"] == 8
    assert sorted(tmp_path.rglob("*")) == before
    assert main("run", str(job))[0] == 0
    assert json.loads(main("plan", str(job), "--json")[1])["parts_skipped"] == 1
    assert "compilations" in main("plan", str(job))[1]


def test_verify_finds_a_changed_byte(main, job, tmp_path):
    assert main("run", str(job))[0] == 0
    out = str(tmp_path / "results" / "job")
    assert main("verify", out)[0] == 0
    (part,) = Path(out, "data").iterdir()
    data = bytearray(part.read_bytes())
    data[20] ^= 1
    part.write_bytes(data)
    code, said, err = main("verify", out)
    assert (code, said) == (1, "")
    assert part.name in err
    assert "Run the job again to write what is missing" in err
    assert main("verify", str(job))[0] == 1
    assert main("verify", str(tmp_path / "nowhere"))[0] == 4


def test_verify_finds_the_output_of_a_job(main, job, tmp_path):
    changed = ("--set", "output.path='elsewhere/{day}'", "--var", "day=1")
    assert main("run", str(job), *changed)[0] == 0
    assert main("verify", str(job))[0] == 4
    code, said, _ = main("verify", str(job), *changed)
    assert (code, said) == (0, f"{tmp_path / 'elsewhere' / '1'}: every part is there and as the manifest says.\n")
    assert main("verify", str(tmp_path / "elsewhere" / "1"), *changed)[0] == 2


@pytest.mark.parametrize("kernel", list(job_templates.SAMPLES))
def test_init_writes_a_job_that_runs_and_kernels_describes_it(kernel, main):
    assert main("init", "new", "--kernel", kernel)[0] == 0
    assert main("run", "new/job.toml", "--quiet") == (0, "", "")
    assert main("init", "new", "--kernel", kernel)[0] == 4
    code, said, _ = main("kernels", kernel)
    assert code == 0
    assert "[params]" in said
    assert f'kernel = "{kernel}"' in said


def test_what_else_kernels_shows_is_a_job_too(main, tmp_path):
    (tmp_path / "functions.py").write_text("def price(spot, vol, maturity):\n    return spot * vol * vol * maturity\n")
    options = pa.table({"spot": [2.0], "vol": [3.0], "maturity": [1.0]})
    days = pa.table(
        {"instrument": ["a"] * 4, "returns": [1.0, 2, 4, 3], "market": [1.0, 0, 2, 1], "size": [0.0, 1, 1, 3]}
    )
    points = pa.table({"function": ["sqrt", "exp"], "center": [1.0, 1], "point": [1.5, 1.5], "order": [2, 2]})
    found = {}
    for kernel, tasks in (("derivatives", options), ("regression", days), ("taylor", points)):
        pq.write_table(tasks, tmp_path / f"{kernel}.parquet")
        ((_, text),) = json.loads(main("kernels", kernel, "--json")[1])["more"].items()
        where = f'[input]\npath = "{kernel}.parquet"\n[output]\npath = "{kernel}"\n'
        job = tmp_path / f"{kernel}.toml"
        job.write_text(f'kernel = "{kernel}"\n{text}{where}')
        assert main("run", str(job), "--quiet")[0] == 0
        found[kernel] = pq.read_table(tmp_path / kernel / "data")
    assert found["derivatives"].drop(["spot", "vol", "maturity"]).to_pylist() == [
        {"value": 18.0, "d_spot": 9.0, "d_vol": 12.0, "d_spot_spot": 0.0, "d_spot_vol": 6.0, "status": "ok"}
    ]
    assert found["regression"]["instrument"].to_pylist() == ["a"]
    assert [len(each) for each in found["taylor"]["coefficients"].to_pylist()] == [3, 3]


def test_kernels_tells_what_each_parameter_is(main):
    kinds = {
        each["name"]: each["type"] for each in json.loads(main("kernels", "regression", "--json")[1])["parameters"]
    }
    assert kinds["features"] == "a list of texts"
    assert kinds["method"] == '"auto" or "cholesky" or "qr" or "svd" or "gradient_descent"'
    assert kinds["learning_rate"] == 'a number or "auto"'
    assert (kinds["intercept"], kinds["max_steps"]) == ("true or false", "an integer")


def test_kernels_lists_every_kernel(main):
    code, said, _ = main("kernels")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()[:4]] == ["apply", "derivatives", "regression", "taylor"]


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ("jax", "ray", "pyarrow")),
        (["run", "--help"], ("jax", "ray")),
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


def test_an_unreachable_cluster_is_exit_75(main, job):
    code, out, err = main("run", str(job), "--address", "127.0.0.1:1", "--set", "compute.device='cpu'")
    assert (code, out) == (75, "")
    assert "127.0.0.1:1 cannot be reached" in err


def test_a_signal_that_got_lost_in_a_destructor_is_met_again():
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


def test_nothing_to_do_may_have_an_exit_code_of_its_own(jaxbatch):
    assert jaxbatch("init", ".").returncode == 0
    ask = ("run", "job.toml", "--nothing-to-do-exit", "99", "--json")
    assert jaxbatch(*ask).returncode == 0
    again = jaxbatch(*ask)
    assert (again.returncode, json.loads(again.stdout)["exit_code"]) == (99, 99)
    assert "nothing to do" in again.stderr


def test_progress_for_programs(jaxbatch):
    assert jaxbatch("init", ".").returncode == 0
    ended = jaxbatch("run", "job.toml", "--progress", "json", "--quiet")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [list(line) for line in lines] == [["progress"] if "progress" in line else ["log"] for line in lines]
    told = [line["progress"] for line in lines if "progress" in line]
    assert told[0]["parts_done"] == 0
    assert told[-1]["parts_done"] == told[-1]["parts"] == 1
    assert told[-1]["rows_done"] == told[-1]["rows"] == 1000


FLAKY = """
from datetime import datetime
from pathlib import Path
from jaxbatch import Column, Kernel

class Flaky(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"),)

    def bucket(self, columns):
        tries = Path(__file__).parent / "tries"
        tries.write_text(tries.read_text() + "." if tries.exists() else ".")
        if columns["x"][0] == 10 or len(tries.read_text()) == 1:
            raise OSError("the weather")
        return 0

    def row(self, x):
        return {"y": x + 1}
"""

FLAKY_JOB = """
kernel = "flaky.py:Flaky"
[input]
path = "tasks.parquet"
[output]
path = "results"
rows_per_part = 10
"""


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_log_for_programs_names_the_run_and_the_part(engine, jaxbatch, tmp_path):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "job.toml").write_text(FLAKY_JOB)
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    ended = jaxbatch("run", "job.toml", "--engine", engine, "--workers", 1, "--progress", "json", "--json", "--quiet")
    assert ended.returncode == 1, ended.stderr
    summary = json.loads(ended.stdout)
    log = [json.loads(line)["log"] for line in ended.stderr.splitlines() if line.startswith('{"log"')]
    log = [event for event in log if "Still waiting for a worker" not in event["message"]]  # on a busy machine
    assert {event["run"] for event in log} == {summary["fingerprint"][:8]}
    assert all(datetime.fromisoformat(event["time"]).tzinfo for event in log)
    failed = [event for event in log if event["level"] == "error"]
    assert [event["part"] for event in failed] == [1]
    assert "the weather" in failed[0]["message"]
    assert ":" in failed[0]["worker"]
    again = [event["part"] for event in log if event["level"] == "warning"]
    assert again.count(1) == 2
    assert log[-1]["message"].startswith("Exit code 1")


def test_a_person_is_told_of_failures_once(jaxbatch, tmp_path):
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "job.toml").write_text(FLAKY_JOB)
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    ended = jaxbatch("run", "job.toml", "--quiet")
    assert (ended.returncode, ended.stderr.count("the weather")) == (1, 1)


STATUSES = """
kernel = "derivatives"
[params]
function = "jax.numpy:log"
[input]
path = "tasks.parquet"
columns = { x = "spot" }
[output]
path = "results"
columns = { value = "price" }
rows_per_part = 10
[limits]
max_failed_rows = "100%"
"""


def test_rows_that_did_not_end_well_are_shown_with_the_column_to_blame(jaxbatch, tmp_path):
    spot = [1.0] * 12 + [-2.5, None, 0.0, -1.0, -3.0]
    pq.write_table(pa.table({"id": range(17), "spot": spot}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(STATUSES)
    ended = jaxbatch("run", "job.toml")
    lines = [line for line in ended.stderr.splitlines() if "of data/part-0000001" in line]
    assert ended.returncode == 0, ended.stderr
    assert [re.sub(r"  +|-[0-9a-f]{8}.parquet", " ", line) for line in lines] == [
        "nonfinite row 2 of data/part-0000001 , spot = -2.5: price is nan",
        "nonfinite row 4 of data/part-0000001 , spot = 0: price is -inf",
        "nonfinite row 5 of data/part-0000001 , spot = -1: price is nan",
        "null_input row 3 of data/part-0000001 , spot is null",
    ]
    shown = next(line for line in ended.stderr.splitlines() if line.startswith("see all "))
    _, *arguments = shlex.split(shown.removeprefix("see all "))
    rest = subprocess.run([sys.executable, *arguments], cwd=tmp_path, text=True, capture_output=True)
    assert "[12,13,14,15,16]]" in rest.stdout, rest.stderr


def test_shells_complete_commands_and_options(tmp_path):
    def completed(words: str, at: int) -> str:
        asked = {**os.environ, "_JAXBATCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        program = Path(sys.executable).with_name("jaxbatch")
        return subprocess.run([program], env=asked, cwd=tmp_path, capture_output=True, text=True).stdout

    assert completed("jaxbatch ve", 1) == "plain,verify\n"
    assert "plain,--nothing-to-do-exit" in completed("jaxbatch run --no", 2)


def test_the_summary_says_what_took_longest_and_what_is_next(jaxbatch, tmp_path):
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(STATUSES.replace('columns = { x = "spot" }\n', ""))
    said = jaxbatch("run", "job.toml").stderr
    assert re.search(r"^slowest  the shard of part [01]: \d+\.\d\d s", said, re.MULTILINE), said
    assert f"jaxbatch report {tmp_path}/results" in said


def test_a_thread_that_user_code_leaves_does_not_hold_up_the_end(jaxbatch, tmp_path):
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


def test_a_plan_starts_its_paths_where_a_run_does(jaxbatch, tmp_path):
    (tmp_path / "jobs").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "tasks.parquet")
    (tmp_path / "jobs/job.toml").write_text(STATUSES.replace('columns = { x = "spot" }\n', ""))
    ended = jaxbatch("plan", "jobs/job.toml", "--paths-from", ".")
    assert (ended.returncode, f"{tmp_path}/results" in ended.stdout) == (0, True), ended.stderr
