"""Outputs that grow or are replaced, with several drivers at work: no row twice, and _SUCCESS only on whole runs."""

import shutil
import signal
from collections.abc import Iterator
from typing import Any

from jaxbatch import Job, verify
from jaxbatch.errors import InputError, JobError, OutputError
from jaxbatch.execution import appending
from jaxbatch.execution.engines.local import LocalEngine
from jaxbatch.output.claim import Claim
from jaxbatch.output.ledger import Ledger
from jaxbatch.storage import LocalStore
from tests.daily import DAILY, refusal


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


def test_a_mark_that_somebody_leaves_beside_an_unfinished_run_is_taken_away(daily, monkeypatch):
    daily.arrives("1")
    mark = daily.output / "_SUCCESS"
    write, seen = Claim.write, []

    def write_late(claim: Claim, record: Any) -> bool:
        mark.parent.mkdir(exist_ok=True)
        mark.touch()  # by another driver, which has read the ledger before
        return write(claim, record)

    monkeypatch.setattr(Claim, "write", write_late)
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


def test_a_run_that_seals_removes_what_is_of_no_run(daily):
    daily.arrives("1")
    daily.run()
    stray = daily.output / "data/part-0000000-00000000.parquet"
    shutil.copyfile(next((daily.output / "data").iterdir()), stray)
    daily.arrives("2")
    daily.run()
    assert not stray.exists()
    daily.check()


def test_replacing_twice_at_once_does_no_harm(daily):
    daily.text(DAILY.replace("append", "replace"))
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    both = [daily.start(), daily.start()]
    assert [daily.finish(each)[0] for each in both] == [0, 0]
    daily.check()
