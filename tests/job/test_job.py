"""The job file: what is accepted, and that every refusal names line, key and remedy."""

from pathlib import Path

import pytest

from jaxbatch import Job
from jaxbatch.errors import ExitCode, JobError, UsageError
from jaxbatch.job.model import Limits

TEXT: str = """\
kernel = "taylor"
[params]
function = "jax.numpy:sqrt"
[input]
path = "tasks.parquet"
[output]
path = "results"
[compute]
[cluster]
[limits]
"""


def line(table: str) -> int:
    """The line of ``TEXT`` on which a table begins; 0 for the top."""
    return TEXT.splitlines().index(f"[{table}]") + 1 if table else 0


def below(table: str, added: str, text: str = TEXT) -> str:
    """``text`` with a line added at the top of a table."""
    lines = text.splitlines()
    return "\n".join([*lines[: line(table)], added, *lines[line(table) :]])


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str, *overrides: str, name: str = "prices.toml", **variables: str) -> Job:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return Job.load(path, variables=variables, overrides=overrides)

    return load


@pytest.fixture
def refused(load):
    """The lines of a job's refusal."""

    def refused(text: str, *overrides: str, **variables: str) -> list[str]:
        with pytest.raises(JobError) as caught:
            load(text, *overrides, **variables)
        assert caught.value.exit_code == ExitCode.REFUSED == 4
        lines = str(caught.value).splitlines()
        assert "prices.toml" in lines[0]
        assert len(lines) <= 3
        return lines

    return refused


def test_defaults(load, tmp_path):
    job = load(TEXT)
    assert job.name == "prices"
    assert (job.input.columns, job.input.constants, job.input.keep, job.input.on_bad_file) == ({}, {}, None, "stop")
    assert (job.output.rows_per_part, job.output.compression) == (1_000_000, "snappy")
    assert (job.compute.precision, job.compute.batch_rows) == ("float64", None)
    assert (job.cluster.attempts, job.cluster.cpus_per_worker, job.cluster.part_timeout_s) == (3, 1, None)
    assert job.limits.max_failed_rows == 0
    assert job.resolve("a/../b.parquet") == str(tmp_path / "b.parquet")
    assert job.resolve("/data") == "/data"


@pytest.mark.parametrize(
    ("table", "wrong", "right"),
    [
        ("", "kernal", "kernel"),
        ("input", "pathh", "path"),
        ("output", "row_per_part", "rows_per_part"),
        ("compute", "precison", "precision"),
        ("cluster", "worker", "workers"),
        ("limits", "max_failed_row", "max_failed_rows"),
    ],
)
def test_unknown_key(refused, table, wrong, right):
    what, remedy = refused(below(table, f"{wrong} = 1"))
    key = f"{table}.{wrong}" if table else wrong
    assert f"line {line(table) + 1}, key '{key}'" in what
    assert remedy == f"Did you mean '{right}'?"


def test_unknown_table(refused):
    what, remedy = refused(TEXT + "[inputs]\n")
    assert f"line {len(TEXT.splitlines()) + 1}, key 'inputs'" in what
    assert "'input'" in remedy


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("", "name", "3"),
        ("", "name", '""'),
        ("input", "columns", '["a"]'),
        ("input", "keep", '"id"'),
        ("input", "on_bad_file", '"ignore"'),
        ("output", "rows_per_part", "1.0"),
        ("output", "rows_per_part", "0"),
        ("output", "rows_per_part", '"many"'),
        ("output", "compression", '"zip"'),
        ("compute", "device", '"GPU"'),
        ("compute", "device", "0"),
        ("compute", "precision", '"float16"'),
        ("compute", "batch_rows", "true"),
        ("cluster", "workers", "0"),
        ("cluster", "cpus_per_worker", '"1"'),
        ("cluster", "gpus_per_worker", "-1"),
        ("cluster", "address", "2026-11-22"),
        ("limits", "max_failed_rows", "-1"),
        ("limits", "max_failed_rows", "0.5"),
        ("limits", "max_failed_rows", '"few"'),
        ("limits", "max_failed_rows", '"-1%"'),
    ],
)
def test_wrong_value(refused, table, key, value):
    what = refused(below(table, f"{key} = {value}"))[0]
    assert f"line {line(table) + 1}, key '{table + '.' if table else ''}{key}':" in what


@pytest.mark.parametrize("path", ["3", "[]", '["a", 3]', "2026-11-22", '""', r'"a\u0000"'])
def test_wrong_input_path(refused, path):
    what = refused(TEXT.replace('"tasks.parquet"', path))[0]
    assert f"line {line('input') + 1}, key 'input.path':" in what


@pytest.mark.parametrize("path", ["3", '""', '["a"]', r'"a\u0000"'])
def test_wrong_output_path(refused, path):
    what = refused(TEXT.replace('"results"', path))[0]
    assert f"line {line('output') + 1}, key 'output.path':" in what


@pytest.mark.parametrize(
    ("removed", "key"), [('kernel = "taylor"\n', "kernel"), ('path = "tasks.parquet"\n', "input.path")]
)
def test_missing_key(refused, removed, key):
    assert f"the key '{key}' is missing" in refused(TEXT.replace(removed, ""))[0]


def test_missing_table(refused):
    text = TEXT.replace('[output]\npath = "results"\n', "")
    assert "the table [output] is missing" in refused(text)[0]


@pytest.mark.parametrize("content", [b'kernel = "taylor\n', b"\xff\xfe", b"[" * 100_000])
def test_not_toml(tmp_path, content):
    path = tmp_path / "job.toml"
    path.write_bytes(content)
    with pytest.raises(JobError, match=r"job\.toml"):
        Job.load(path)


def test_no_file(tmp_path):
    with pytest.raises(JobError, match=r"absent\.toml.*cannot be read"):
        Job.load(tmp_path / "absent.toml")


def test_variables_fill_every_string(load):
    text = TEXT.replace("tasks.parquet", "{region}/{date}.parquet").replace('"results"', '"out/{name}"')
    text = below("params", 'names = ["{date}", { deep = "{region}" }]', text)
    job = load(text, region="eu", date="2026-11-22")
    assert job.input.path == "eu/2026-11-22.parquet"
    assert job.output.path == "out/prices"
    assert job.params["names"] == ["2026-11-22", {"deep": "eu"}]


def test_name_may_hold_variables(load):
    job = load(below("", 'name = "run-{date}"').replace('"results"', '"out/{name}"'), date="1")
    assert (job.name, job.output.path) == ("run-1", "out/run-1")


@pytest.mark.parametrize(
    ("written", "meant"), [("{{date}}", "{date}"), ("{{{x}}}", "{7}"), ("a}b", "a}b"), ("{x}{x}", "77"), ("{{}}", "{}")]
)
def test_braces(load, written, meant):
    assert load(TEXT.replace("tasks.parquet", written), x="7").input.path == meant


def test_values_of_variables_are_not_filled_again(load):
    assert load(TEXT.replace("tasks.parquet", "{x}"), x="{y}").input.path == "{y}"


def test_variable_without_value(refused):
    what, remedy = refused(TEXT.replace("tasks.parquet", "{date}.parquet"), other="1")
    assert f"line {line('input') + 1}, key 'input.path'" in what
    assert "'{date}' has no value" in what
    assert "--var date=" in remedy


def test_lone_brace(refused):
    assert "'{{'" in refused(TEXT.replace("tasks.parquet", "{1}.parquet"))[1]


def test_overrides(load):
    job = load(
        TEXT,
        'input.path="{x}.parquet"',
        "output.rows_per_part = 10",
        "input.constants.rate=0.5",
        'input.constants."the strike"=1',
        'params = { function = "f.py:g" }',
        x="other",
    )
    assert job.input.path == "other.parquet"
    assert job.output.rows_per_part == 10
    assert job.output.path == "results"
    assert job.input.constants == {"rate": 0.5, "the strike": 1}
    assert job.params == {"function": "f.py:g"}


@pytest.mark.parametrize("override", ["input.path=x", "input.path", "=1", "", "[input]", "a=1\nb"])
def test_override_that_is_not_toml(load, override):
    with pytest.raises(UsageError, match="--set") as caught:
        load(TEXT, override)
    assert caught.value.exit_code == ExitCode.USAGE == 2


def test_override_of_unknown_key(refused):
    what, remedy = refused(TEXT, 'output.paht="x"')
    assert "key 'output.paht'" in what
    assert "'path'" in remedy


@pytest.mark.parametrize(
    ("limit", "failed", "rows", "allowed"),
    [
        (0, 0, 10, True),
        (0, 1, 10, False),
        (3, 3, 10, True),
        (3, 4, 10, False),
        ("1%", 1, 100, True),
        ("1%", 1, 99, False),
        ("0.5%", 1, 200, True),
        ("0.5%", 2, 399, False),
        ("0%", 0, 0, True),
        ("100%", 5, 5, True),
    ],
)
def test_max_failed_rows(limit, failed, rows, allowed):
    assert Limits(max_failed_rows=limit).allows(failed, rows) is allowed


@pytest.mark.parametrize("value", ["..", "a/b", "/etc", "s3://bucket", "a\\b", "..x"])
def test_a_variable_within_a_string_cannot_lead_elsewhere(bench, value):
    """A scheduler that passes on somebody's date must not thereby let them choose the folder."""
    file = bench.file("job.toml", JOB.format(path="tasks/{date}.parquet"))
    with pytest.raises(JobError, match=r"'\{date\}' could lead elsewhere"):
        Job.load(file, {"date": value})


@pytest.mark.parametrize("value", ["/elsewhere/x.parquet", "../x.parquet", "s3://bucket/x.parquet"])
def test_a_variable_that_is_the_whole_string_can_be_any_path(bench, value):
    file = bench.file("job.toml", JOB.format(path="{file}"))
    assert Job.load(file, {"file": value}).input.path == value


def test_the_jobs_name_is_such_a_variable(bench):
    file = bench.file("job.toml", JOB.format(path="tasks/{name}.parquet"))
    with pytest.raises(JobError, match="could lead elsewhere"):
        Job.load(file, overrides=["name='../x'"])


JOB = """
kernel = "taylor"
input.path = "{path}"
output.path = "results"
"""


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 260 + "]" * 260, "[" * 2000 + "]" * 2000])
def test_a_value_of_too_many_digits_or_brackets(refused, load, value):
    refused(below("params", f"x = {value}"))
    with pytest.raises((JobError, UsageError)):
        load(TEXT, f"params.x={value}")


def test_an_argument_that_is_no_text(refused):
    """What a shell may pass on: bytes of no encoding, which Python keeps as lone surrogates."""
    refused(TEXT.replace("tasks.parquet", "{x}"), x="\udcff")


def test_a_message_has_no_more_lines_than_it_should(refused):
    what, _ = refused(below("input", '"a\\nb\\u001b[31m\\u2028" = 1'))
    assert "'input.a b [31m '" in what


def test_a_long_value_is_shown_in_part(refused):
    assert len(refused(below("input", f'keep = "{"x" * 100_000}"'))[0]) < 500


def test_a_batch_of_more_rows_than_a_dimension_may_have(refused):
    assert "key 'compute.batch_rows'" in refused(below("compute", f"batch_rows = {2**31}"))[0]
