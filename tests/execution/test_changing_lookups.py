"""Tables that change between runs, or while one is under way: another run, a refusal, or a new day's prices."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, api, plan, verify
from jaxbatch.errors import JobError, OutputError
from jaxbatch.execution.worker import WorkerProcess
from tests.daily import refusal
from tests.market import JOB, digests, expected, spots, write_market


def test_resumed_after_a_kill(market, jaxbatch, jaxbatch_json):
    market.file("job.toml", JOB)
    reference = market.run(JOB, "output.path='whole'")
    killed = jaxbatch("run", "job.toml", "--workers", "1", env={**os.environ, "JAXBATCH_CRASH_AT": "part.published@2"})
    assert killed.returncode < 0, killed.stderr
    summary = jaxbatch_json("run", "job.toml", "--workers", "1")
    assert (summary["exit_code"], summary["parts_skipped"] >= 2) == (0, True)
    assert digests(market.folder / "results") == digests(Path(reference.output))
    assert verify(market.folder / "results") == []


@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False}])
def test_a_changed_table_is_another_run(market, options):
    market.run(JOB)
    done = market.run(JOB)
    assert done.parts_done == 0
    before = pq.read_table(market.folder / "market.parquet")
    write_market(market.folder, **options)
    if options:  # a value between the others: neither the file's size nor its footer tells
        market.run(JOB, restart=True)
        footer = pq.read_metadata(market.folder / "market.parquet")
        spots_now = before["spot"].to_pylist()
        spots_now[5] = 6.5
        pq.write_table(before.set_column(1, "spot", pa.array(spots_now)), market.folder / "market.parquet", **options)
        assert pq.read_metadata(market.folder / "market.parquet") == footer
    else:
        write_market(market.folder, factor=2.0)
    told = refusal(OutputError, market.run, JOB)
    assert "belongs to another run: lookup 'market': file market.parquet changed." in told
    assert "input.lookup.market.prefix was" in refusal(
        OutputError,
        market.run,
        JOB,
        'input.lookup.market.prefix="m_"',
        'input.keep=["id"]',
        'input.columns={spot="m_spot"}',
    )


def test_a_worker_refuses_another_table(market):
    made = plan(market.job(JOB))
    path = market.folder / "market.parquet"
    path.write_bytes(path.read_bytes())
    WorkerProcess(made)  # a copy is the same table
    write_market(market.folder, factor=3.0)
    told = refusal(JobError, WorkerProcess, made)
    assert "Lookup 'market': " in told
    assert "has changed since the run was planned" in told
    path.unlink()
    assert "every node must see the same file" in refusal(JobError, WorkerProcess, made)


def test_a_worker_refuses_a_table_of_the_same_footer(market):
    write_market(market.folder, compression="none", use_dictionary=False)
    made = plan(market.job(JOB))
    path = market.folder / "market.parquet"
    data = path.read_bytes()
    value = np.float64(6.0).tobytes()
    assert data.count(value) == 1
    path.write_bytes(data.replace(value, np.float64(6.5).tobytes()))
    assert "is not the file that the run was planned with" in refusal(JobError, WorkerProcess, made)


class TestInAnOutputThatGrows:
    APPEND = JOB.replace('path = "results"', 'path = "results"\nmode = "append"')

    def arrives(self, bench: Any, first: int) -> None:
        ids = range(first, first + 30)
        bench.tasks({"id": ids, "x": [each / 8 for each in ids], "ticker": ["T1"] * 30}, f"tasks/{first:03}.parquet")

    def test_content_may_change_and_mapping_not(self, market):
        market.run(self.APPEND)
        first = spots(market.folder / "results")
        write_market(market.folder, factor=10.0)
        assert market.run(self.APPEND).parts_done == 0
        self.arrives(market, 200)
        market.run(self.APPEND)
        assert spots(market.folder / "results") == first | dict.fromkeys(range(200, 230), 20.0)
        changes = ('input.lookup.market.columns=["spot"]',)
        quiet = refusal(OutputError, market.run, self.APPEND, *changes)
        self.arrives(market, 230)
        busy = refusal(OutputError, market.run, self.APPEND, *changes)
        for told in (quiet, busy):
            assert "does not match the earlier runs" in told
            assert 'lookup.market.columns was null, is ["spot"]' in told
        assert "lookup" in refusal(
            OutputError,
            market.run,
            self.APPEND.replace(
                '[input.lookup.market]\npath = "market.parquet"\non = ["ticker"]', "[input.constants]\nspot = 1.0"
            ).replace(', "spot"]', "]"),
        )
        assert verify(market.folder / "results") == []

    def test_an_unfinished_run_needs_its_table(self, market, jaxbatch):
        job = market.file("job.toml", self.APPEND)
        killed = jaxbatch("run", job, env={**os.environ, "JAXBATCH_CRASH_AT": "part.published@2"})
        assert killed.returncode < 0, killed.stderr
        before = (market.folder / "market.parquet").read_bytes()
        write_market(market.folder, factor=10.0)
        told = refusal(OutputError, market.run, self.APPEND)
        assert "Run 1 is unfinished and cannot be completed: lookup 'market': file market.parquet changed" in told
        (market.folder / "market.parquet").write_bytes(before)
        moved = market.folder / "elsewhere.parquet"
        shutil.copyfile(market.folder / "market.parquet", moved)
        other = 'input.lookup.market.path="elsewhere.parquet"'
        assert "which the job does not name" in refusal(OutputError, market.run, self.APPEND, other)
        market.run(self.APPEND)
        assert spots(market.folder / "results") == expected(market.folder)

    def test_a_day_has_its_table(self, market):
        dated = self.APPEND.replace("market.parquet", "market-{day}.parquet")
        for day, factor in (("1", 1.0), ("2", 5.0)):
            write_market(market.folder, factor)
            (market.folder / "market.parquet").rename(market.folder / f"market-{day}.parquet")
            market.file("job.toml", dated)
            self.arrives(market, 200 + 30 * int(day))
            api.run(Job.load(market.folder / "job.toml", {"day": day}), engine="local", workers=2)
        found = spots(market.folder / "results")
        assert (found[230], found[260]) == (2.0, 10.0)
