"""Outputs that grow: each run adds the input files that no run has computed, and every row is there once."""

import json
import os
import shutil
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import verify
from jaxbatch.errors import InputError, OutputError, UsageError
from jaxbatch.input.input_file import read_footer
from jaxbatch.output import ledger
from tests.daily import DAILY, Daily, F, refusal


def test_a_run_adds_and_leaves_alone_what_is_there(daily):
    daily.arrives("1")
    first = daily.run()
    before = daily.parts()
    daily.arrives("2")
    second = daily.run()
    assert before.items() < daily.parts().items()
    runs = sorted((daily.output / "_jaxbatch/runs").iterdir())
    assert [run.name for run in runs] == ["0000001", "0000002"]
    for run, summary in zip(runs, (first, second), strict=True):
        assert sorted(each.name for each in run.iterdir()) == ["manifest.json", "plan.json", "report.json"]
        manifest = json.loads((run / "manifest.json").read_text())
        assert (manifest["fingerprint"], manifest["rows"]) == (summary.fingerprint, 50)
    assert json.loads((runs[1] / "plan.json").read_text())["ledger"][0][0] == "tasks/2.parquet"


def test_a_file_that_was_copied_or_touched_is_not_new(daily):
    path = daily.arrives("1")
    daily.run()
    shutil.copyfile(path, copy := path.with_suffix(".copy"))
    copy.replace(path)
    os.utime(path, ns=(1, 1))
    assert daily.run().parts_done == 0
    daily.check()


def test_the_folder_may_be_moved(daily, tmp_path_factory):
    daily.arrives("1")
    daily.run()
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    shutil.copytree(daily.folder, moved)
    daily.folder = moved
    assert daily.run().parts_done == 0
    daily.check()


def test_a_file_that_has_changed_is_refused_or_left_out(daily):
    daily.arrives("1")
    daily.run()
    daily.rows.clear()
    daily.arrives("1", rows=51)
    assert "1.parquet: it has changed since run 1 computed it" in refusal(InputError, daily.run)
    skip = 'input.on_bad_file="skip"'
    assert daily.run(skip).parts_done == 0
    daily.arrives("2")
    summary = daily.run(skip)
    assert (summary.rows, summary.files_skipped) == (50, 1)
    recorded = (daily.output / "_jaxbatch/runs/0000002/errors.jsonl").read_text()
    assert json.loads(recorded)["reason"] == "it has changed since run 1 computed it"


def test_a_bad_file_is_computed_when_it_is_mended(daily):
    daily.arrives("1")
    whole = (path := daily.arrives("2")).read_bytes()
    path.write_bytes(whole[:-20])
    assert daily.run('input.on_bad_file="skip"').files_skipped == 1
    path.write_bytes(whole)
    assert daily.run().rows == 50
    daily.check()


def test_another_meaning_is_refused(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert "params.order was null, is 2" in refusal(OutputError, daily.run, "params.order=2")
    assert "keep" in refusal(OutputError, daily.run, 'input.keep=["id"]')
    assert "precision" in refusal(OutputError, daily.run, 'compute.precision="float32"')
    assert daily.run("output.rows_per_part=30", 'output.compression="zstd"').rows == 50
    daily.check()


def test_another_meaning_is_refused_on_a_quiet_day_too(daily):
    daily.arrives("1")
    daily.run()
    assert "params.order was null, is 2" in refusal(OutputError, daily.run, "params.order=2")
    assert "precision" in refusal(OutputError, daily.run, 'compute.precision="float32"')
    daily.check()


def test_a_new_version_of_the_function_goes_on(daily):
    daily.arrives("1")
    daily.run()
    daily.function(F.replace("x * x", "x * x + 1"))
    daily.arrives("2", rows=1)
    assert daily.run().rows == 1
    assert daily.computed()[50] == (12.5, 157.25)
    assert daily.computed()[49] == (12.25, 150.0625)


@pytest.mark.parametrize("values", [[2.0], [1.0, 2.0]], ids=["the same size", "the same time"])
def test_a_file_that_looks_the_same_and_differs_has_changed(values, daily):
    def write(values: list[float]) -> os.stat_result:
        table = pa.table({"id": range(len(values)), "x": values})
        pq.write_table(table, path := daily.folder / "tasks/1.parquet", compression="none", use_dictionary=False)
        return path.stat()

    before = write([1.0])
    daily.run()
    after = write(values)
    assert (after.st_size == before.st_size) == (len(values) == 1)
    if after.st_size != before.st_size:
        os.utime(daily.folder / "tasks/1.parquet", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "it has changed" in refusal(InputError, daily.run)


def test_groups_in_two_stages(daily):
    daily.text(
        DAILY.replace("derivatives", "regression").replace(
            'function = "daily.py:f"', 'group_by = ["site"]\nfeatures = ["x"]\ntarget = "y"'
        )
    )
    for day in range(3):
        columns = {"site": [f"{day}{n % 5}" for n in range(60)], "x": [n / 7 for n in range(60)]}
        table = pa.table({**columns, "y": [2 * x + 1 for x in columns["x"]]})
        pq.write_table(table, daily.folder / f"tasks/{day}.parquet", row_group_size=20)
        assert daily.run().rows == 5
    sites = [row for part in (daily.output / "data").iterdir() for row in pq.read_table(part)["site"].to_pylist()]
    assert sorted(sites) == sorted(f"{day}{n}" for day in range(3) for n in range(5))
    assert not any((daily.output / "_jaxbatch").glob("partials/*"))
    assert verify(daily.output) == []


def test_the_plan_is_of_what_is_new(daily):
    daily.arrives("1")
    assert daily.plan()["rows"] == 50
    daily.run()
    assert (daily.plan()["rows"], daily.plan()["sealed"]) == (0, True)
    daily.arrives("2", rows=7)
    assert (daily.plan()["rows"], daily.plan()["files"]) == (7, 1)


def test_the_command_says_that_there_is_nothing_to_do(daily, jaxbatch):
    daily.arrives("1")
    assert jaxbatch("run", "job.toml", "--nothing-to-do-exit", 9).returncode == 0
    again = jaxbatch("run", "job.toml", "--nothing-to-do-exit", 9)
    assert (again.returncode, "nothing to do" in again.stderr) == (9, True)
    assert jaxbatch("run", "job.toml").returncode == 0
    assert "0 rows in 0 files" in jaxbatch("plan", "job.toml").stdout


def test_an_output_that_grows_is_asked_for_whole_files(daily):
    daily.arrives("1")
    assert "--limit" in refusal(UsageError, daily.run, limit=10)
    assert not daily.output.exists()


def test_no_file_at_all_is_refused(daily):
    assert "no Parquet file" in refusal(InputError, daily.run)
    daily.arrives("1").unlink()
    assert "no Parquet file" in refusal(InputError, daily.run)


@pytest.mark.parametrize(("first", "second"), [("append", "create"), ("create", "append")])
def test_one_mode_is_not_the_other(first, second, daily):
    daily.arrives("1")
    daily.run(f'output.mode="{first}"')
    before = daily.parts()
    assert 'mode = "' in refusal(OutputError, daily.run, f'output.mode="{second}"')
    assert daily.parts() == before


def test_equal_files_at_two_places_are_two(daily):
    daily.text(DAILY.replace('"tasks"', '"tasks/{date}"'))
    for date in ("1", "2"):
        (daily.folder / "tasks" / date).mkdir()
        pq.write_table(pa.table({"id": [7], "x": [0.5]}), daily.folder / "tasks" / date / "part-0.parquet")
        assert daily.run(variables={"date": date}).parts_done == 1
    rows = [row for part in (daily.output / "data").iterdir() for row in pq.read_table(part).to_pylist()]
    assert [row["value"] for row in rows] == [0.25, 0.25]
    assert verify(daily.output) == []


@pytest.mark.parametrize("other", ["days", "none"])
def test_a_bad_file_that_stays_does_not_stop_quiet_days(other, daily):
    (daily.folder / "tasks/bad.parquet").write_bytes(b"PAR1 no, it is not")
    skip = 'input.on_bad_file="skip"'
    if other == "none":
        assert "bad.parquet" in refusal(InputError, daily.run, skip)
        return
    daily.arrives("1")
    assert daily.run(skip).files_skipped == 1
    summary = daily.run(skip)
    assert (summary.exit_code, summary.parts_done, summary.files_skipped) == (0, 0, 1)
    assert daily.plan(skip)["rows"] == 0
    daily.check()


@pytest.mark.parametrize("months", [("month=09", "month=10"), ("month=10", "month=11")])
def test_keys_and_columns_keep_the_types_of_the_first_day(months, daily):
    daily.text(DAILY.replace('"tasks"', '"tasks/*/*.parquet"'))
    for month in months:
        (daily.folder / "tasks" / month).mkdir()
        daily.arrives(f"{month}/1")
        assert daily.run().rows == 50
    daily.check()
    (daily.folder / "tasks/month=__HIVE_DEFAULT_PARTITION__").mkdir()
    daily.arrives("month=__HIVE_DEFAULT_PARTITION__/1")
    assert daily.run().rows == 50
    daily.check()
    pq.write_table(pa.table({"id": [1], "x": [1]}), daily.folder / f"tasks/{months[1]}/odd.parquet")
    assert "column 'x' is int64, in earlier files double" in refusal(InputError, daily.run)
    assert daily.run('input.on_bad_file="skip"').files_skipped == 1


def test_too_many_failed_rows_are_told_again(daily):
    daily.function("def f(x):\n    return 1 / x\n")
    daily.arrives("1")
    for _ in range(2):
        summary = daily.run()
        assert (summary.exit_code, summary.failed_rows, summary.rows) == (3, 1, 50)


def test_a_link_that_leads_nowhere_is_a_bad_file(daily):
    daily.arrives("1")
    (daily.folder / "tasks/gone.parquet").symlink_to("nowhere")
    assert "gone.parquet" in refusal(InputError, daily.run)
    assert daily.run('input.on_bad_file="skip"').files_skipped == 1


def test_a_copy_is_looked_into_once(daily, monkeypatch):
    path = daily.arrives("1")
    daily.run()
    os.utime(path, ns=(1, 1))
    daily.arrives("2")
    daily.run()
    opened = []
    monkeypatch.setattr(ledger, "read_footer", lambda file: opened.append(file) or read_footer(file))
    assert daily.run().parts_done == 0
    assert opened == []
    os.utime(path, ns=(2, 2))
    assert daily.run().parts_done == 0
    assert len(opened) == 1


def readable(daily: Daily, *overrides: str) -> str:
    ended = daily.command("plan", "job.toml", *(word for each in overrides for word in ("--set", each)))
    return next(line for line in ended.splitlines() if line.startswith("mode"))


def test_a_plan_says_what_is_done_to_what_is_there(daily):
    daily.arrives("1")
    assert "append: run 1 adds the new files" in readable(daily)
    assert "replace: the existing output is removed first" in readable(daily, 'output.mode="replace"')
    daily.run()
    assert "append: all files are already computed" in readable(daily)
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    assert "append: unfinished run 2 is completed first" in readable(daily)
    shutil.rmtree(daily.output)
    daily.run('output.mode="replace"')
    assert "replace: this run already exists" in readable(daily, 'output.mode="replace"')
