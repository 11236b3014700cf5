"""Which files are the input, in which order, and which are refused."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job
from jaxbatch.input.file_checks import open_input
from jaxbatch.input.listing import check_output_outside_input
from tests.input.refusals import refusal


def listed(job: Job) -> list[str]:
    """The input's files in its order, relative to the job's folder."""
    return [os.path.relpath(file.path, job.folder) for file in open_input(job).files]


def paths(job) -> list[str]:
    return [file.path for file in open_input(job).files]


def test_a_folder_is_sorted_by_path(job):
    files = ["tasks/b.parquet", "tasks/a/z.parquet", "tasks/a.parquet", "tasks/10.parquet", "tasks/9.parquet"]
    sorted_ = ["tasks/10.parquet", "tasks/9.parquet", "tasks/a.parquet", "tasks/a/z.parquet", "tasks/b.parquet"]
    assert listed(job("tasks", *files)) == sorted_


def test_a_list_is_taken_as_given(job):
    files = ["b/2.parquet", "b/1.parquet", "a.parquet", "c.parquet"]
    assert listed(job(["c.parquet", "b", "a.parquet"], *files)) == [
        "c.parquet",
        "b/1.parquet",
        "b/2.parquet",
        "a.parquet",
    ]


def test_hidden_names_are_left_out(job, bench):
    files = ["tasks/a.parquet", "tasks/_b.parquet", "tasks/.c.parquet", "tasks/_d/e.parquet", "tasks/.f/g.parquet"]
    opened = job("tasks", *files)
    bench.file("tasks/notes.txt", "not a task")
    assert listed(opened) == ["tasks/a.parquet"]
    for pattern in ("tasks/**/*.parquet", "tasks/*.parquet", "tasks/*/*.parquet", "*"):
        named = listed(job([pattern, "tasks/a.parquet"], on_bad_file="skip"))
        assert named == ["tasks/a.parquet"], pattern


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("tasks/*.parquet", ["tasks/a1.parquet", "tasks/a2.parquet"]),
        ("tasks/a[2-9].parquet", ["tasks/a2.parquet"]),
        ("tasks/**/*.parquet", ["tasks/a1.parquet", "tasks/a2.parquet", "tasks/x/y/a3.parquet"]),
        ("t*", ["tasks/a1.parquet", "tasks/a2.parquet", "tasks/x/y/a3.parquet"]),
        ("./tasks/../tasks/a?.parquet", ["tasks/a1.parquet", "tasks/a2.parquet"]),
    ],
)
def test_globs(job, pattern, expected):
    assert listed(job(pattern, "tasks/x/y/a3.parquet", "tasks/a2.parquet", "tasks/a1.parquet")) == expected


def test_the_jobs_folder_is_no_pattern(tmp_path):
    folder = tmp_path / "runs[1]*"
    (folder / "tasks").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0]}), folder / "tasks" / "a.parquet")
    (folder / "job.toml").write_text(
        'kernel = "taylor"\ninput.path = "tasks/*.parquet"\noutput.path = "results"\n', encoding="utf-8"
    )
    job = Job.load(folder / "job.toml")
    assert listed(job) == ["tasks/a.parquet"]
    check_output_outside_input(job, paths(job))


def test_links_to_folders_are_not_followed(job, tmp_path):
    opened = job("tasks", "tasks/a.parquet", "elsewhere/b.parquet")
    (tmp_path / "tasks" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tasks" / "loop").symlink_to(tmp_path / "tasks")
    assert listed(opened) == ["tasks/a.parquet"]


def test_a_file_reached_twice_counts_once(job, tmp_path):
    opened = job(["tasks/b.parquet", "tasks", "tasks/*.parquet"], "tasks/a.parquet", "tasks/b.parquet")
    (tmp_path / "tasks" / "c.parquet").symlink_to("a.parquet")
    assert listed(opened) == ["tasks/b.parquet", "tasks/a.parquet"]


@pytest.mark.parametrize("path", ["absent.parquet", "tasks/*.parquet", "folder", ["a", "b"]])
def test_no_file(job, tmp_path, path):
    (tmp_path / "folder").mkdir()
    message = refusal(open_input, job(path))
    assert "no Parquet file matches" in message or "does not exist" in message


def test_a_listed_file_that_is_not_there_is_refused(job):
    assert "does not exist" in refusal(open_input, job(["tasks/1.parquet", "tasks/typo.parquet"], "tasks/1.parquet"))


@pytest.mark.parametrize("path", ["tasks", "tasks/*.parquet", "t*", "**/*.parquet", ["b.parquet", "tasks/"], "."])
@pytest.mark.parametrize("output", ["tasks", "tasks/results", "other/../tasks/deep/results", "link/results"])
def test_output_in_the_input(job, tmp_path, path, output):
    opened = job(path, "tasks/a.parquet", "b.parquet", output=output)
    (tmp_path / "link").symlink_to("tasks")
    assert "[output] path" in refusal(check_output_outside_input, opened, paths(opened))


@pytest.mark.parametrize("path", ["results/data", "results/data/*.parquet", "results/data/a.parquet", "link/a.parquet"])
def test_input_in_the_output(job, tmp_path, path):
    (tmp_path / "link").symlink_to("results/data")
    opened = job(path, "results/data/a.parquet")
    assert "[output] path" in refusal(check_output_outside_input, opened, paths(opened))


@pytest.mark.parametrize("path", ["*.parquet", "./*.parquet", "b.parquet", "tasks", "task?/*.parquet"])
@pytest.mark.parametrize("output", ["results", "tasks-results", "results/tasks", "../results"])
def test_output_beside_the_input(job, path, output):
    opened = job(path, "tasks/a.parquet", "b.parquet", output=output)
    check_output_outside_input(opened, paths(opened))
