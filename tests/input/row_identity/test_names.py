"""What a file is called: the same in every run, wherever a variable leads."""

import pytest

from jaxbatch import Job
from jaxbatch.errors import InputError
from jaxbatch.input.listing import list_files
from jaxbatch.input.row_identity.names import check_distinct, row_name


def job(bench, given: str, **variables: str) -> Job:
    file = bench.file("job.toml", f'kernel = "k"\n[input]\npath = {given}\n[output]\npath = "out"\n')
    return Job.load(file, variables)


@pytest.mark.parametrize(
    ("path", "file", "name"),
    [
        ('"tasks"', "tasks/a.parquet", "a.parquet"),
        ('"tasks"', "tasks/k=1/a.parquet", "k=1/a.parquet"),
        ('"tasks/a.parquet"', "tasks/a.parquet", "a.parquet"),
        ('"tasks/*.parquet"', "tasks/a.parquet", "a.parquet"),
        ('"tasks/a*.parquet"', "tasks/a.parquet", "a.parquet"),
        ('"*/a.parquet"', "tasks/a.parquet", "tasks/a.parquet"),
        ('"**/*.parquet"', "tasks/x/a.parquet", "tasks/x/a.parquet"),
        ('"*.parquet"', "a.parquet", "a.parquet"),
        ('"tasks/{day}/*.parquet"', "tasks/7/a.parquet", "7/a.parquet"),
        ('"tasks/{day}.parquet"', "tasks/7.parquet", "7.parquet"),
        ('"tasks/day-{day}/a.parquet"', "tasks/day-7/a.parquet", "day-7/a.parquet"),
        ('"tasks/{day}"', "tasks/7/x/a.parquet", "7/x/a.parquet"),
        ('"{path}"', "tasks/7/a.parquet", "a.parquet"),
        ('["tasks/*.parquet", "more"]', "more/a.parquet", "a.parquet"),
    ],
)
def test_name(bench, path, file, name):
    bench.tasks({"x": [1.0]}, file)
    variables = {name: value for name, value in {"day": "7", "path": "tasks/7"}.items() if f"{{{name}}}" in path}
    loaded = job(bench, path, **variables)
    found = [each.path for each in list_files(loaded)] if file.startswith("more") is False else [loaded.resolve(file)]
    assert [row_name(loaded, each) for each in found] == [name]


@pytest.mark.parametrize(
    ("path", "file", "name"),
    [
        ('"s3://b/tasks"', "s3://b/tasks/x/a.parquet", "x/a.parquet"),
        ('"s3://b/tasks/a.parquet"', "s3://b/tasks/a.parquet", "a.parquet"),
        ('"s3://b/tasks/{day}/*.parquet"', "s3://b/tasks/7/a.parquet", "7/a.parquet"),
        ('"s3://b"', "s3://b/a.parquet", "a.parquet"),
    ],
)
def test_in_a_bucket(bench, path, file, name):
    assert row_name(job(bench, path, **({"day": "7"} if "day" in path else {})), file) == name


def test_another_days_file_has_the_name_that_it_had(bench):
    today = job(bench, '"tasks/{day}/*.parquet"', day="8")
    assert row_name(today, today.resolve("tasks/7/a.parquet")) == "7/a.parquet"


def test_files_of_one_name_are_refused():
    check_distinct([("a", "/x/a"), ("b", "/x/b")], {"c": "/x/c"})
    with pytest.raises(InputError, match="/x/a and /y/a are both called 'a'"):
        check_distinct([("a", "/x/a"), ("a", "/y/a")], {})
    with pytest.raises(InputError, match="/x/a, which an earlier run has computed, and /y/a"):
        check_distinct([("a", "/y/a")], {"a": "/x/a"})
