"""``jaxbatch plan``: what a run would do, and nothing written."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from tests.cli.conftest import JOB


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


def test_a_plan_starts_its_paths_where_a_run_does(jaxbatch, tmp_path):
    for folder in ("jobs", "tasks"):
        (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "tasks" / "a.parquet")
    (tmp_path / "jobs/job.toml").write_text(JOB)
    ended = jaxbatch("plan", "jobs/job.toml", "--paths-from", ".")
    assert (ended.returncode, f"{tmp_path}/results" in ended.stdout) == (0, True), ended.stderr
