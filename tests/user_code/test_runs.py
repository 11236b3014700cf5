"""Runs of functions whose neighbours have the same names, or change."""

import threading
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, run
from jaxbatch.errors import OutputError

FACTOR = "from constants import FACTOR\n\n\ndef f(x):\n    return FACTOR * x\n"


def write(bench: Any, folder: str, factor: float) -> None:
    (bench.folder / folder).mkdir(parents=True, exist_ok=True)
    bench.file(f"{folder}/functions.py", FACTOR)
    bench.file(f"{folder}/constants.py", f"FACTOR = {factor}\n")


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_functions_of_one_job_have_their_own_neighbours(engine, bench, jaxbatch_json):
    write(bench, "a", 2.0)
    write(bench, "b", 10.0)
    bench.tasks({"x": [1.0, 1.0], "function": ["a", "b"]})
    bench.job('kernel = "derivatives"\n[params]\nfunctions = { a = "a/functions.py:f", b = "b/functions.py:f" }\n')
    summary = jaxbatch_json("run", "job.toml", "--engine", engine)
    assert summary["exit_code"] == 0
    (part,) = (bench.folder / "results" / "data").iterdir()
    rows = pq.read_table(part).to_pylist()
    assert [(row["value"], row["d1"], row["status"]) for row in rows] == [(2.0, 2.0, "ok"), (10.0, 10.0, "ok")]


def test_a_helper_that_was_edited_between_two_runs(bench):
    write(bench, ".", 2.0)
    bench.tasks({"x": [1.0, 3.0]})
    job = 'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\n'
    assert [row["value"] for row in bench.rows(job)] == [2.0, 6.0]
    bench.file("constants.py", "FACTOR = 3.0\n")
    with pytest.raises(OutputError, match="the computation changed"):
        bench.run(job)
    assert [row["value"] for row in bench.rows(job, "output.path='other'")] == [3.0, 9.0]
    bench.file("constants.py", "FACTOR = 2.0\n")
    assert bench.run(job).parts_done == 0


def test_six_threads_run_six_jobs(bench):
    found: dict[int, Any] = {}
    for number in range(6):
        folder = bench.folder / f"job{number}"
        write(bench, folder.name, float(number + 1))
        bench.tasks(pa.table({"x": [1.0, 2.0]}), f"{folder.name}/tasks.parquet")
        bench.file(
            f"{folder.name}/job.toml",
            'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\n[input]\npath = "tasks.parquet"\n'
            '[output]\npath = "results"\n',
        )

    def work(number: int) -> None:
        try:
            found[number] = run(Job.load(bench.folder / f"job{number}" / "job.toml"), engine="local", workers=1)
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = {number: bench.output(found[number]).column("value").to_pylist() for number in sorted(found)}
    assert values == {number: [number + 1.0, 2 * (number + 1.0)] for number in range(6)}
