"""Folders whose log says which of their files count: refused, because what lies in them is more than the table."""

import json

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import api
from jaxbatch.errors import ExitCode, InputError
from jaxbatch.input.file_checks import open_input
from tests.object_store import ENVIRONMENT, Proxy, make_bucket, s3_server

LOGS = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Delta, its log one checkpoint": "_delta_log/00000000000000000010.checkpoint.parquet",
    "Iceberg": "metadata/00000-9c0f.metadata.json",
    "Iceberg, compressed": "metadata/v1.gz.metadata.json",
    "Hudi": ".hoodie/hoodie.properties",
    "Spark": "_spark_metadata/0",
}


@pytest.fixture
def job(bench):
    """A job over a path or a list of them."""

    def job(path: str | list[str], mode: str = "create", **keys: object):
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        return bench.job(
            f'kernel = "apply"\nparams.function = "jax.numpy:sqrt"\n[input]\npath = {json.dumps(path)}\n'
            f'columns = {{ x = "a" }}\n{settings}[output]\npath = "results"\nmode = "{mode}"\n'
        )

    return job


@pytest.fixture
def files(bench):
    """Write Parquet files, and empty ones of other names."""

    def write(*names: str) -> None:
        for name in names:
            if name.endswith(".parquet") and "_log/" not in name:
                bench.tasks({"a": [1.0, 2.0]}, name)
            else:
                (bench.folder / name).parent.mkdir(parents=True, exist_ok=True)
                bench.file(name, "{}")

    return write


def refusal(job) -> str:
    with pytest.raises(InputError) as caught:
        open_input(job)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def names(job) -> list[str]:
    return [file.name for file in open_input(job).files]


REACHES = [
    "lake/t",
    "lake/t/",
    "./lake/../lake/t",
    "lake/t/day=1",
    "lake/t/data/deep",
    "lake",
    ".",
    "lake/t/*.parquet",
    "lake/t/day=*/*.parquet",
    "lake/t/day=2/*.parquet",  # which matches nothing yet
    "lake/t/a.parq*",
    "lake/*/*.parquet",
    "lake/**/a.parquet",
    "l*",
    "**",
    "link",
    "link/day=1",
    "link-to-a-day",
    "lin[k]/*.parquet",
    "lake/*/*/a.parquet",
]


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_a_table_is_refused_however_it_is_reached(log, job, files, bench):
    files(f"lake/t/{log}", "lake/t/a.parquet", "lake/t/day=1/a.parquet", "lake/t/data/deep/a.parquet")
    (bench.folder / "link").symlink_to("lake/t")
    (bench.folder / "link-to-a-day").symlink_to("lake/t/day=1")
    for path in REACHES:
        message = refusal(job(path, on_bad_file="skip"))
        assert f"{bench.folder}/lake/t is " in message or f"{bench.folder}/link is " in message, path
        assert log.split("/")[0] in message
        assert "path = […]" in message


@pytest.mark.parametrize("mode", ["create", "append", "replace"])
def test_runs_and_plans_refuse_it_before_any_work(mode, job, files, bench):
    files("t/_delta_log/0.json", "t/a.parquet")
    for call in (lambda job: api.run(job, engine="local"), api.preview):
        with pytest.raises(InputError, match="Delta"):
            call(job("t", mode))
    assert not (bench.folder / "results").exists()


def test_each_path_of_a_list_is_judged_for_itself(job, files):
    files("t/_delta_log/0.json", "t/a.parquet", "t/b.parquet", "u/a.parquet")
    assert names(job(["u", "t/b.parquet"])) == ["a.parquet", "b.parquet"]
    assert "/t is a Delta table" in refusal(job(["t/b.parquet", "t"]))
    assert "/t is a Delta table" in refusal(job(["u", "t/b.parquet", "t/a*"]))


def test_what_is_no_table(job, files, bench):
    files("a/x.parquet", "a/metadata/notes.json", "a/metadata/deep/v1.metadata.json", "a/_DELTA_LOG/0.json")
    files("a/y/_delta_log", "a/y/metadata", "a/y/y.parquet", "a/y/_spark_metadata.crc", "a/y/v1.metadata.json")
    (bench.folder / "a" / "y" / "z" / "metadata").mkdir(parents=True)
    files("a/y/z/z.parquet", "beside/_delta_log/0.json", "a/_old/_delta_log/0.json", "a/_old/o.parquet")
    for path in ("a", "a/**/*.parquet", "[a]"):
        assert names(job(path))[-3:] == (
            [f"{'a/' * (path == '[a]')}{n}" for n in ("x.parquet", "y/y.parquet", "y/z/z.parquet")]
        )


def test_links_to_files_of_a_table_name_them(job, files, bench):
    files("t/_delta_log/0.json", "t/a.parquet", "t/b.parquet")
    (bench.folder / "current").mkdir()
    (bench.folder / "current" / "b.parquet").symlink_to("../t/b.parquet")
    assert names(job("current")) == ["b.parquet"]


def test_a_folder_that_lies_in_a_table_by_a_link_only(job, files, bench):
    files("t/_delta_log/0.json", "elsewhere/a.parquet")
    (bench.folder / "t" / "day=1").symlink_to("../elsewhere")
    assert "/t is a Delta table" in refusal(job("t/day=1"))
    assert names(job("elsewhere")) == ["a.parquet"]


@pytest.fixture(scope="module")
def server():
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """A bucket of its own, behind a proxy, with a function that puts objects there."""
    proxy, name = Proxy(server), f"b{abs(hash(str(tmp_path)))}"
    for key, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(key, value)
    make_bucket(server, name)
    client = boto3.client("s3", endpoint_url=server)
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "one.parquet")
    task = (tmp_path / "one.parquet").read_bytes()

    def put(*keys: str) -> None:
        for key in keys:
            client.put_object(Bucket=name, Key=key, Body=task if key.endswith(".parquet") else b"{}")

    yield name, put, proxy
    proxy.close()


@pytest.mark.parametrize("log", ["_delta_log/0.json", "metadata/v3.metadata.json"])
def test_tables_in_buckets(log, job, bucket):
    name, put, _ = bucket
    put(f"lake/t/{log}", "lake/t/a.parquet", "lake/t/day=1/b.parquet", "lake/u/a.parquet", "top.parquet")
    put("lake/u/metadata/notes.json", "lake/u/_delta_log")
    for path in (
        "lake/t",
        "lake/t/",
        "lake",
        "",
        "lake/t/*.parquet",
        "lake/t/day=1",
        "lake/t/day=1/*",
        "lake/*/*.parquet",
    ):
        assert f"s3://{name}/lake/t is " in refusal(job(f"s3://{name}/{path}", on_bad_file="skip")), path
    assert names(job([f"s3://{name}/{key}" for key in ("lake/t/a.parquet", "lake/u", "*.parquet")])) == [
        "a.parquet",
        "a.parquet",
        "top.parquet",
    ]


def test_a_bucket_that_is_a_table(job, bucket):
    name, put, _ = bucket
    put("_delta_log/0.json", "deep/er/a.parquet")
    assert f"s3://{name} is a Delta table" in refusal(job(f"s3://{name}/deep/er"))


def test_a_store_that_forbids_to_look_above(job, bucket):
    name, put, proxy = bucket
    put("team/t/_delta_log/0.json", "team/t/day=1/b.parquet", "team/u/a.parquet")
    allowed = f"prefix=team{'%2F'}u{'%2F'}"
    proxy.fault = lambda _, path, __: "403" if "list-type" in path and allowed not in path else None
    assert names(job(f"s3://{name}/team/u")) == ["a.parquet"]
    assert proxy.faults
    before = len(proxy.requests)
    assert names(job(f"s3://{name}/team/u/a.parquet")) == ["a.parquet"]
    assert not any("_delta_log" in path for _, path in proxy.requests[before:])


def test_the_folder_above_a_job_counts_too(job, files, bench):
    files("_delta_log/0.json", "tasks/a.parquet")
    assert f"{bench.folder} is a Delta table" in refusal(job("tasks"))
