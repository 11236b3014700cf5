"""Outputs that grow, and outputs that are replaced: every input row is once in the output, whatever happens between."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, appending, driver, verify
from jaxbatch.engines.local import LocalEngine
from jaxbatch.errors import InputError, JaxbatchError, OutputError, UsageError

DAILY = """
kernel = "derivatives"
[params]
function = "daily.py:f"
[input]
path = "tasks"
[output]
path = "results"
mode = "append"
rows_per_part = 20
"""

F = "def f(x):\n    return x * x\n"


class Daily:
    """A folder with a job whose input grows from day to day."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[int, float] = {}
        """The x that each id must have been computed of."""
        (folder / "tasks").mkdir()
        self.text(DAILY)
        self.function(F)

    def text(self, text: str) -> None:
        (self.folder / "job.toml").write_text(text)

    def function(self, text: str) -> None:
        (self.folder / "daily.py").write_text(text)

    def arrives(self, day: str, rows: int = 50) -> Path:
        """A day's file comes, of row groups of 20 rows."""
        ids = range(len(self.rows), len(self.rows) + rows)
        self.rows |= {each: each / 4 for each in ids}
        path = self.folder / "tasks" / f"{day}.parquet"
        pq.write_table(pa.table({"id": ids, "x": [self.rows[each] for each in ids]}), path, row_group_size=20)
        return path

    @property
    def output(self) -> Path:
        return self.folder / "results"

    def run(self, *overrides: str, **options: Any) -> Any:
        job = Job.load(self.folder / "job.toml", overrides=overrides)
        return driver.run(job, **{"engine": "local", "workers": 2, **options})

    def plan(self, *overrides: str) -> dict[str, Any]:
        return driver.preview(Job.load(self.folder / "job.toml", overrides=overrides))

    def start(self, *options: str, **environment: str) -> "subprocess.Popen[str]":
        """The same in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--json", "--quiet", "--workers", "1", *options],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
        """Its exit code, and what it printed."""
        out, _ = process.communicate(timeout=240)
        return process.returncode, json.loads(out or "{}")

    def computed(self) -> dict[int, tuple[float, float]]:
        """What a reader sees: x and f(x) by id."""
        table = pa.concat_tables([pq.read_table(part) for part in sorted((self.output / "data").iterdir())])
        assert table["id"].to_pylist() == list(dict.fromkeys(table["id"].to_pylist())), "a row is there twice"
        return {row["id"]: (row["x"], row["value"]) for row in table.to_pylist()}

    def check(self) -> None:
        """Every row of the input is once in the output, which is whole."""
        assert self.computed() == {each: (x, x * x) for each, x in self.rows.items()}
        assert (self.output / "_SUCCESS").exists()
        assert verify(self.output) == []

    def parts(self) -> dict[str, int]:
        """Every part, and when it was written."""
        return {part.name: part.stat().st_mtime_ns for part in (self.output / "data").iterdir()}


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    return Daily(tmp_path)


def refusal(kind: type[JaxbatchError], call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_week_of_daily_runs(daily):
    daily.arrives("11-16")
    assert daily.run().rows == 50
    daily.check()

    daily.arrives("11-17")  # killed half-way, and not noticed
    killed = daily.start(JAXBATCH_CRASH_AT="part.published@2")
    assert daily.finish(killed)[0] == -signal.SIGKILL
    assert not (daily.output / "_SUCCESS").exists()

    daily.arrives("11-18")  # finishes the day before, too
    summary = daily.run()
    assert (summary.rows, summary.parts_skipped, summary.parts_done) == (100, 2, 4)
    daily.check()

    daily.arrives("11-19")  # started twice
    both = [daily.start(), daily.start()]
    assert [daily.finish(each)[0] for each in both] == [0, 0]
    daily.check()

    daily.arrives("11-21")  # the day before comes late
    assert daily.run().rows == 50
    daily.arrives("11-20")
    assert daily.run().rows == 50
    daily.check()

    summary = daily.run()  # a day without tasks
    assert (summary.exit_code, summary.rows, summary.parts_done, summary.parts) == (0, 0, 0, 0)
    daily.check()
    assert len(daily.rows) == 300


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
    assert json.loads((runs[1] / "plan.json").read_text())["ledger"][0]["path"] == "tasks/2.parquet"


POINTS = ("planned", "claimed", "unsealed", "part.published", "seal.cleaned", "seal.manifest", "sealed")


@pytest.mark.parametrize("point", [*POINTS, "put@5", "aside.synced@5", "replace.begun@3"])
def test_a_crash_anywhere_loses_and_doubles_nothing(point, daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT=point))[0] == -signal.SIGKILL
    if (daily.output / "_SUCCESS").exists():
        assert len(daily.computed()) == 50
    daily.arrives("3")
    assert daily.run().exit_code == 0
    daily.check()


def test_a_file_that_was_copied_or_touched_is_not_new(daily):
    path = daily.arrives("1")
    daily.run()
    shutil.copyfile(path, copy := path.with_suffix(".copy"))
    copy.replace(path)
    os.utime(path, ns=(1, 1))
    assert daily.run().rows == 0
    daily.check()


def test_the_folder_may_be_moved(daily, tmp_path_factory):
    daily.arrives("1")
    daily.run()
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    shutil.copytree(daily.folder, moved)
    daily.folder = moved
    assert daily.run().rows == 0
    daily.check()


def test_a_file_that_has_changed_is_refused_or_left_out(daily):
    daily.arrives("1")
    daily.run()
    daily.rows.clear()
    daily.arrives("1", rows=51)
    assert "1.parquet: it has changed since run 1 computed it" in refusal(InputError, daily.run)
    skip = 'input.on_bad_file="skip"'
    assert daily.run(skip).rows == 0
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
    assert "run 2 is unfinished" in said
    assert "code.program" in said
    assert "--restart" in said
    assert daily.run(restart=True).rows == 50
    assert before.items() < daily.parts().items()
    daily.check()
    assert daily.run(restart=True).rows == 0  # nothing is unfinished
    daily.check()


def test_failed_parts_keep_a_run_unfinished(daily):
    daily.arrives("1")
    path = daily.arrives("2")
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
    assert path.exists()


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
    assert verify(daily.output) == ["Run 2 is not finished: there is no manifest yet. Run it again to finish it."]


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


def test_runs_that_overlap_share_no_file(daily):
    daily.arrives("1")
    slow = daily.start()
    daily.arrives("2")
    fast = daily.start()
    assert [daily.finish(each)[0] for each in (slow, fast)] == [0, 0]
    daily.run()  # whatever neither of them has seen
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
    assert daily.run().parts_skipped == 2
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
