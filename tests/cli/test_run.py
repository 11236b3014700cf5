"""``jaxbatch run``: its JSON, its summary and its exit codes."""

import json
import re
import shlex
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq


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


def test_files_that_are_left_out_are_reported(main, job, tmp_path):
    (tmp_path / "tasks" / "b.parquet").write_bytes(b"nothing of the kind")
    skip = ("--set", "input.on_bad_file='skip'")
    code, out, err = main("run", str(job), "--json", *skip)
    assert (code, json.loads(out)["files_skipped"], json.loads(out)["rows"]) == (0, 1, 3)
    assert "1 could not be used and were left out" in err
    assert "left out  1 file, see below" in re.sub(" +", lambda gap: gap[0][:2], main("plan", str(job), *skip)[1])


def test_quiet_prints_only_the_reason_of_a_failure(main, job, tmp_path):
    assert main("run", str(job), "--quiet") == (0, "", "")
    pq.write_table(pa.table({"id": [1], "x": [None]}, schema=pa.schema({"id": "int64", "x": "float64"})),
                   tmp_path / "tasks" / "a.parquet")  # fmt: skip
    code, out, err = main("run", str(job), "--quiet", "--restart")
    assert (code, out) == (3, "")
    assert "1 of 1 rows failed" in err


def test_nothing_to_do_can_have_its_own_exit_code(jaxbatch):
    assert jaxbatch("init", ".").returncode == 0
    ask = ("run", "job.toml", "--nothing-to-do-exit", "99", "--json")
    assert jaxbatch(*ask).returncode == 0
    again = jaxbatch(*ask)
    assert (again.returncode, json.loads(again.stdout)["exit_code"]) == (99, 99)
    assert "nothing to do" in again.stderr


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


def test_rows_that_are_not_ok_are_shown_with_the_column_to_blame(jaxbatch, tmp_path):
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


def test_the_summary_says_what_took_longest_and_what_is_next(jaxbatch, tmp_path):
    pq.write_table(pa.table({"x": [float(x) for x in range(20)]}), tmp_path / "tasks.parquet", row_group_size=10)
    (tmp_path / "job.toml").write_text(STATUSES.replace('columns = { x = "spot" }\n', ""))
    err = jaxbatch("run", "job.toml").stderr
    assert re.search(r"^slowest  the shard of part [01]: \d+\.\d\d s", err, re.MULTILINE), err
    assert f"jaxbatch report {tmp_path}/results" in err
