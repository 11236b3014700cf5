"""Outputs that grow: a run that was interrupted is finished as it began, refused, or forgotten with --restart."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch import report, verify
from jaxbatch.errors import OutputError
from tests.daily import DAILY, Daily, F, refusal


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


def test_a_restart_with_nothing_unfinished_says_so(daily, caplog):
    daily.arrives("1")
    daily.run()
    assert daily.run(restart=True).parts_done == 0
    assert "--restart has nothing to remove" in caplog.text


def test_a_restart_before_the_first_run_says_nothing(daily, caplog):
    daily.arrives("1")
    assert daily.run(restart=True).parts_done == 3
    assert "--restart" not in caplog.text


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


def test_what_was_left_out_stays_in_the_record_of_a_run_that_is_resumed(daily):
    daily.text(DAILY.replace('path = "tasks"', 'path = "tasks"\non_bad_file = "skip"'))
    daily.arrives("1")
    (daily.folder / "tasks/bad.parquet").write_bytes(b"PAR1 no, it is not")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    assert daily.run().files_skipped == 1
    manifest = json.loads((daily.output / "_jaxbatch/runs/0000001/manifest.json").read_text())
    assert [Path(each["path"]).name for each in manifest["skipped_files"]] == ["bad.parquet"]


def test_a_report_of_an_output_with_an_unfinished_run_is_of_the_one_before(daily):
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published"))[0] == -signal.SIGKILL
    report.write(daily.output, daily.folder / "page.html")
    page = (daily.folder / "page.html").read_text()
    assert "Not finished." in page
    assert "Distribution of d1" in page


def test_a_damaged_ledger_is_refused(daily):
    daily.arrives("1")
    daily.run()
    (daily.output / "_jaxbatch/runs/0000001/plan.json").write_text("{")
    assert "0000001/plan.json is damaged" in refusal(OutputError, daily.run)
    shutil.rmtree(daily.output / "_jaxbatch")
    assert "parts of another run" in refusal(OutputError, daily.run)


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
