"""Outputs that grow, and outputs that are replaced: every input row is once in the output, whatever happens between."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, report, verify
from jaxbatch.errors import InputError, JaxbatchError, JobError, OutputError, UsageError
from jaxbatch.execution import appending
from jaxbatch.execution.engines.local import LocalEngine
from jaxbatch.input.input_file import read_footer
from jaxbatch.output import ledger
from jaxbatch.output.claim import Output
from jaxbatch.output.ledger import Ledger
from jaxbatch.storage import LocalStore
from tests.daily import DAILY, Daily, F


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    return Daily(tmp_path)


def refusal(kind: type[JaxbatchError], call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


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


def test_an_unfinished_run_is_finished_as_it_began(daily):
    daily.text(DAILY.replace('path = "tasks"', 'path = "tasks"\nconstants = { rate = 2.0 }'))
    daily.function("def f(x, rate):\n    return rate * x\n")
    daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    daily.arrives("2")
    assert daily.run("input.constants.rate=3.0", "output.rows_per_part=100").parts == 3 + 1
    assert {number: value / x for number, (x, value) in daily.computed().items() if x} == {
        number: 2.0 if number < 50 else 3.0 for number in range(1, 100)
    }


def test_what_cannot_be_finished_is_refused_and_can_be_forgotten(daily):
    daily.arrives("1")
    daily.run()
    before = daily.parts()
    daily.function("def f(x):\n    return -x\n")
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published@2"))[0] == -signal.SIGKILL
    daily.function(F)
    said = refusal(OutputError, daily.run)
    assert "Run 2 is unfinished" in said
    assert "the computation changed: the function" in said
    assert "--restart" in said
    assert daily.run(restart=True).rows == 50
    assert before.items() < daily.parts().items()
    daily.check()
    assert daily.run(restart=True).parts_done == 0  # nothing is unfinished
    daily.check()


def test_failed_parts_keep_a_run_unfinished(daily):
    daily.arrives("1")
    daily.arrives("2")
    assert daily.run().exit_code == 0
    daily.arrives("3")
    damaged = daily.folder / "tasks/3.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:200] + b"\xff" * 40 + whole[240:])
    summary = daily.run()
    assert (summary.exit_code, summary.parts_failed) == (1, 1)
    assert not (daily.output / "_SUCCESS").exists()
    daily.arrives("4")
    assert daily.run().rows < 50  # it is not gone past
    damaged.write_bytes(whole)
    assert daily.run().exit_code == 0
    daily.check()


def test_a_part_that_vanished_from_an_earlier_run_is_made_again(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    daily.run()
    lost = min((daily.output / "data").iterdir())
    whole = lost.read_bytes()
    lost.unlink()
    assert verify(daily.output) == [f"data/{lost.name} is missing."]
    assert daily.run().parts_done == 1
    assert lost.read_bytes() == whole
    daily.check()


def test_verify_names_the_run_that_is_unfinished(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="seal.cleaned"))[0] == -signal.SIGKILL
    assert verify(daily.output) == ["Run 2 is not finished: it has no manifest yet. Run it again to finish it."]


def test_a_run_that_seals_removes_what_is_of_no_run(daily):
    daily.arrives("1")
    daily.run()
    stray = daily.output / "data/part-0000000-00000000.parquet"
    shutil.copyfile(next((daily.output / "data").iterdir()), stray)
    daily.arrives("2")
    daily.run()
    assert not stray.exists()
    daily.check()


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


def test_whoever_is_second_to_begin_looks_again(daily):
    daily.arrives("1")
    opened: list[LocalEngine] = []

    def open_engine() -> LocalEngine:
        if not opened:  # the ledger has been read; now another run begins, and ends, with one file more
            opened.append(LocalEngine(2))
            daily.arrives("2")
            assert daily.run().rows == 100
            daily.arrives("3")
        return LocalEngine(2)

    job = Job.load(daily.folder / "job.toml")
    summary = appending.run(job, open_engine, restart=False, progress=lambda _: None)
    assert summary.rows == 50
    daily.check()


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


def test_a_damaged_ledger_is_refused(daily):
    daily.arrives("1")
    daily.run()
    (daily.output / "_jaxbatch/runs/0000001/plan.json").write_text("{")
    assert "0000001/plan.json is damaged" in refusal(OutputError, daily.run)
    shutil.rmtree(daily.output / "_jaxbatch")
    assert "parts of another run" in refusal(OutputError, daily.run)


def test_replacing_makes_all_anew_where_something_differs(daily):
    replace = 'output.mode="replace"'
    daily.arrives("1")
    assert daily.run(replace).parts_done == 3
    before = daily.parts()
    assert daily.run(replace).parts_skipped == 3
    assert daily.parts() == before
    daily.arrives("2")
    assert daily.plan(replace)["rows_skipped"] == 0
    assert daily.run(replace).parts_done == 6
    assert not before.items() & daily.parts().items()
    daily.check()
    assert daily.run("output.rows_per_part=1000", replace).parts_done == 1
    daily.check()


def test_replacing_finishes_what_it_began(daily):
    daily.text(DAILY.replace("append", "replace"))
    daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published@2"))[0] == -signal.SIGKILL
    there = len(daily.parts())
    assert there in (2, 3)  # another part may have been on its way
    assert daily.run().parts_skipped == there
    daily.check()


def test_replacing_leaves_alone_what_is_not_ours(daily):
    daily.arrives("1")
    daily.run()
    (daily.output / "notes.txt").write_text("mine")
    assert "notes.txt" in refusal(OutputError, daily.run, 'output.mode="replace"')
    (daily.output / "notes.txt").unlink()
    daily.check()
    assert daily.run('output.mode="replace"').parts_done == 3
    daily.check()


def test_equal_files_at_two_places_are_two(daily):
    daily.text(DAILY.replace('"tasks"', '"tasks/{date}"'))
    for date in ("1", "2"):
        (daily.folder / "tasks" / date).mkdir()
        pq.write_table(pa.table({"id": [7], "x": [0.5]}), daily.folder / "tasks" / date / "part-0.parquet")
        assert daily.run(variables={"date": date}).parts_done == 1
    rows = [row for part in (daily.output / "data").iterdir() for row in pq.read_table(part).to_pylist()]
    assert [row["value"] for row in rows] == [0.25, 0.25]
    assert verify(daily.output) == []


def test_a_driver_that_is_slow_to_seal_leaves_alone_what_a_faster_one_has_added(daily):
    daily.arrives("1")
    passed = []

    def progress(so_far: Any) -> None:
        if so_far.parts_done == so_far.parts and not passed:
            passed.append(so_far)
            assert daily.run().parts_skipped == 3  # another driver of the same run seals it …
            daily.arrives("2")
            assert daily.run().parts_done == 3  # … and adds the next

    assert daily.run(progress=progress).exit_code == 0
    daily.check()


def test_a_restart_beside_a_driver_at_work_doubles_nothing(daily):
    daily.arrives("1")
    passed = []

    def progress(so_far: Any) -> None:
        if so_far.parts_done == 1 and not passed:
            passed.append(so_far)
            assert daily.run(restart=True).parts_done == 3

    said = refusal(OutputError, daily.run, workers=1, progress=progress)
    assert "restarted" in said
    daily.check()
    assert daily.run().parts_done == 0


def test_a_restart_spares_what_was_sealed(daily):
    daily.arrives("1")
    daily.run()
    kept = sorted((daily.output / "data").iterdir())
    kept.pop(0).unlink()
    daily.function("def f(x):\n    return -x\n")
    for _ in range(2):
        said = refusal(OutputError, daily.run, restart=True)
        assert "Run 1 is unfinished" in said
        assert "from a copy" in said
        assert all(part.exists() for part in kept)


def test_a_restart_that_is_killed_leaves_nothing_twice(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published@2"))[0] == -signal.SIGKILL
    for point in ("deleted@1", "replace.begun@1", "deleted@2", "deleted@4"):
        daily.finish(daily.start("--restart", JAXBATCH_CRASH_AT=point))
    assert daily.run(restart=True).exit_code == 0
    daily.check()


def test_a_claim_that_is_gone_is_told_and_nothing_is_removed(daily):
    daily.arrives("1")
    daily.run()
    before = daily.parts()
    (daily.output / "_jaxbatch/runs/0000001/plan.json").unlink()
    daily.arrives("2")
    for restart in (False, True):
        assert "0000001/plan.json is damaged or missing" in refusal(OutputError, daily.run, restart=restart)
    assert daily.parts() == before


def test_a_manifest_that_is_damaged_is_written_again(daily):
    daily.arrives("1")
    daily.run()
    manifest = daily.output / "_jaxbatch/runs/0000001/manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:50])
    assert daily.run(restart=True).parts_skipped == 3
    assert manifest.read_bytes() == whole
    daily.check()


def forged(daily: Daily, **changes: Any) -> None:
    """Somebody who may write to the output leaves the record of a run that is unfinished."""
    daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="claimed"))[0] == -signal.SIGKILL
    plan = daily.output / "_jaxbatch/runs/0000001/plan.json"
    record = json.loads(plan.read_text())
    for name, value in changes.items():
        record[name] = value(record[name])
    plan.write_text(json.dumps(record))


def test_no_code_is_taken_from_an_output(daily, tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n\ndef f(x):\n    return x\n")
    forged(daily, job=lambda job: {**job, "params": {"function": str(tmp_path / "evil.py:f")}})
    assert "its kernel or parameters differ" in refusal(OutputError, daily.run)
    assert not (tmp_path / "run").exists()


def test_no_file_is_read_that_is_not_of_the_input(daily, tmp_path):
    secret = tmp_path / "secret.parquet"
    pq.write_table(pa.table({"id": [1], "x": [4711.0]}), secret)
    forged(daily, ledger=lambda entries: [["secret.parquet", entries[0][1]]])
    assert "secret.parquet is not in [input] path" in refusal(OutputError, daily.run)
    assert not list(daily.output.glob("data/*"))


def test_an_unfinished_run_whose_input_is_gone_can_be_forgotten(daily):
    path = daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    path.unlink()
    daily.rows.clear()
    daily.arrives("2")
    said = refusal(OutputError, daily.run)
    assert "Run 1 is unfinished" in said
    assert "1.parquet" in said
    assert "--restart" in said
    assert daily.run(restart=True).parts_done == 3
    daily.check()


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


def test_what_was_left_out_stays_in_the_record_of_a_run_that_is_resumed(daily):
    daily.text(DAILY.replace('path = "tasks"', 'path = "tasks"\non_bad_file = "skip"'))
    daily.arrives("1")
    (daily.folder / "tasks/bad.parquet").write_bytes(b"PAR1 no, it is not")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    assert daily.run().files_skipped == 1
    manifest = json.loads((daily.output / "_jaxbatch/runs/0000001/manifest.json").read_text())
    assert [Path(each["path"]).name for each in manifest["skipped_files"]] == ["bad.parquet"]


def test_the_mark_of_success_is_there_whenever_all_runs_are_whole(daily):
    daily.arrives("1")
    daily.run()
    mark = daily.output / "_SUCCESS"
    daily.arrives("2")
    refusal(JobError, daily.run, "compute.batch_rows=2000000000")  # claimed, and refused after all
    assert mark.exists()
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    assert not mark.exists()
    daily.rows = {each: x for each, x in daily.rows.items() if each >= 50}
    daily.arrives("1", rows=51)  # another file than it was
    assert "it has changed" in refusal(InputError, daily.run)  # but the second run is finished
    assert mark.exists()
    mark.unlink()
    assert daily.run('input.on_bad_file="skip"').parts_done == 0
    assert mark.exists()


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


def test_replacing_twice_at_once_does_no_harm(daily):
    daily.text(DAILY.replace("append", "replace"))
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    both = [daily.start(), daily.start()]
    assert [daily.finish(each)[0] for each in both] == [0, 0]
    daily.check()


def test_a_mark_that_somebody_leaves_beside_an_unfinished_run_is_taken_away(daily, monkeypatch):
    daily.arrives("1")
    mark = daily.output / "_SUCCESS"
    claim, seen = Output.claim, []

    def claim_late(output: Output, description: Any) -> bool:
        mark.parent.mkdir(exist_ok=True)
        mark.touch()  # by another driver, which has read the ledger before
        return claim(output, description)

    monkeypatch.setattr(Output, "claim", claim_late)
    daily.run(progress=lambda so_far: seen.append((so_far.parts_done, mark.exists())))
    assert {marked for done, marked in seen if done} == {False}
    assert mark.exists()
    monkeypatch.undo()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    mark.touch()
    refusal(OutputError, daily.run, "params.order=2")
    assert not mark.exists()


def test_a_ledger_does_not_take_a_run_for_broken_whose_parts_are_younger_than_its_list(daily):
    daily.arrives("1")
    daily.run()

    class Stale(LocalStore):
        """Lists what was there before the run's last part, the first time."""

        listings = 0

        def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
            self.listings += not folder
            names = super().list(folder)
            return (each for each in names if self.listings > 1 or not each[0].startswith("data/part-0000002"))

    assert Ledger.read(Stale(daily.output)).unfinished is None


def test_verify_tells_what_is_in_two_runs(daily):
    daily.arrives("1")
    daily.run()
    runs = daily.output / "_jaxbatch/runs"
    shutil.copytree(runs / "0000001", runs / "0000002")
    problems = verify(daily.output)
    assert "tasks/1.parquet was computed by run 1 and by run 2." in problems
    assert sum("is in 2 manifests" in problem for problem in problems) == 3


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


def test_a_restart_with_nothing_unfinished_says_so(daily, caplog):
    daily.arrives("1")
    daily.run()
    assert daily.run(restart=True).parts_done == 0
    assert "--restart has nothing to remove" in caplog.text


def test_a_restart_before_the_first_run_says_nothing(daily, caplog):
    daily.arrives("1")
    assert daily.run(restart=True).parts_done == 3
    assert "--restart" not in caplog.text


def test_a_report_of_an_output_with_an_unfinished_run_is_of_the_one_before(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    report.write(daily.output, daily.folder / "page.html")
    page = (daily.folder / "page.html").read_text()
    assert "Not finished." in page
    assert "Distribution of d1" in page
