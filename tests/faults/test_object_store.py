"""The same promises against S3: a real server on loopback, and a proxy before it that breaks what passes through."""

import hashlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, plan, verify
from jaxbatch.cli import main
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.failpoints import POINTS
from tests.faults.conftest import ROWS, Site, a_site
from tests.object_store import ENVIRONMENT, SECRET, Proxy, make_bucket, s3_server

LOCAL_ONLY = {"aside", "aside.synced", "put.synced"}
"""Points that an object store's way does not come to."""


@dataclass
class Bucket(Site):
    """A job whose input and output are in a bucket of its own."""

    proxy: Any = None
    client: Any = None
    name: str = ""

    def objects(self) -> dict[str, bytes]:
        """Every object below results/, by its name there."""
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix="results/").get("Contents", [])
        read = lambda key: self.client.get_object(Bucket=self.name, Key=key)["Body"].read()  # noqa: E731
        return {each["Key"].removeprefix("results/"): read(each["Key"]) for each in listed}

    def digests(self) -> dict[str, str]:
        """Of every object below OUT/data."""
        found = {k.removeprefix("data/"): v for k, v in self.objects().items() if k.startswith("data/")}
        return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}

    def check_readable(self) -> None:
        """As of a local output."""
        digests = self.digests()
        assert digests.items() <= self.expected.items()
        if "_SUCCESS" in self.objects():
            assert digests == self.expected
            assert verify(f"s3://{self.name}/results") == []

    def check_finished(self) -> None:
        """As of a local output."""
        assert self.digests() == self.expected
        assert verify(f"s3://{self.name}/results") == []
        others = {name for name in self.objects() if not name.startswith("data/")}
        assert others == {"_SUCCESS", *(f"_jaxbatch/{name}.json" for name in ("plan", "manifest", "report"))}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


_numbers = itertools.count()


@pytest.fixture
def bucket(tmp_path, undisturbed, server, monkeypatch) -> Iterator[Bucket]:
    """The job, its tasks in a bucket that is reached through the proxy."""
    proxy = Proxy(server)
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    make_bucket(server, name)
    client = boto3.client("s3", endpoint_url=server)
    local = a_site(tmp_path, "rows", undisturbed)
    for file in (tmp_path / "tasks").iterdir():
        client.upload_file(str(file), name, f"tasks/{file.name}")
    job = ROWS.replace('"tasks"', f'"s3://{name}/tasks"').replace('"results"', f'"s3://{name}/results"')
    (tmp_path / "job.toml").write_text(job)
    yield Bucket(tmp_path, local.expected, {}, proxy, client, name)
    proxy.close()


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.faults)])
def test_the_same_bytes_come_out_as_on_a_disk(engine, bucket):
    ended = bucket.process("--engine", engine, "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    bucket.check_finished()
    again = bucket.process("--json")
    assert json.loads(again.stdout)["parts_skipped"] == 6


@pytest.mark.parametrize(
    "fault", ["lose", *(pytest.param(each, marks=pytest.mark.faults) for each in ("503", "drop", "cut"))]
)
def test_what_goes_wrong_on_the_way_changes_nothing(fault, bucket):
    passed = itertools.count()

    def every_third(method: str, path: str, _: Any) -> str | None:
        fits = method == {"lose": "PUT", "cut": "GET"}.get(fault, method) and "uploads" not in path
        return fault if fits and next(passed) % 3 == 1 else None

    bucket.proxy.fault = every_third
    ended = bucket.process("--engine", "local", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    assert len(bucket.proxy.faults) > 3
    bucket.proxy.fault = lambda *_: None
    bucket.check_finished()


@pytest.mark.faults
def test_a_store_that_fails_for_good_fails_the_parts_and_a_rerun_finishes_them(bucket):
    bucket.proxy.fault = lambda method, path, _: "drop" if method == "PUT" and "0000004" in path else None
    ended = bucket.process("--engine", "local")
    assert ended.returncode == 1, ended.stderr
    bucket.check_readable()
    assert len(bucket.digests()) == 5
    bucket.proxy.fault = lambda *_: None
    assert bucket.process("--engine", "local").returncode == 0
    bucket.check_finished()


QUICK = {"put", "sealing"}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point in QUICK else [pytest.mark.faults])
        for point in POINTS
        if point not in LOCAL_ONLY
    ],
)
def test_a_crash_loses_nothing(point, bucket):
    ended = bucket.process("--engine", "local", "--workers", "1", JAXBATCH_CRASH_AT=point)
    assert ended.returncode == -9, ended.stderr
    bucket.check_readable()
    assert bucket.run().exit_code == 0
    bucket.check_finished()


def test_two_drivers_at_once_write_one_output(bucket):
    processes = [subprocess.Popen(bucket.command(), cwd=bucket.folder) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    bucket.check_finished()


def test_a_worker_that_outlives_its_driver_changes_nothing(bucket):
    planned = plan(Job.load(bucket.folder / "job.toml"))
    zombie = WorkerProcess(planned)
    bucket.run()
    for shard in planned.first.shards:
        assert not run_shard(zombie, shard, [part.index for part in shard.parts]).failures
    bucket.check_finished()


@pytest.mark.parametrize("damage", ["truncated", pytest.param("deleted", marks=pytest.mark.faults)])
def test_a_part_that_is_gone_or_cut_is_made_again(damage, bucket):
    bucket.run()
    key = f"results/data/{min(bucket.expected)}"
    if damage == "deleted":
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    else:
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bucket.objects()[key[8:]][:-9])
    assert verify(f"s3://{bucket.name}/results") != []
    assert bucket.run().parts_done == 1
    bucket.check_finished()


def test_another_job_is_refused_and_restart_clears_the_way(bucket):
    bucket.run()
    job = bucket.folder / "job.toml"
    job.write_text(job.read_text().replace("jax.numpy:sin", "jax.numpy:cos"))
    refused = bucket.process()
    assert refused.returncode == 5
    assert 'was "jax.numpy:sin", is "jax.numpy:cos"' in refused.stderr
    assert bucket.process("--restart").returncode == 0
    assert verify(f"s3://{bucket.name}/results") == []


def test_globs_and_hidden_names_and_hive_keys_mean_what_they_mean_on_a_disk(bucket):
    tasks = (bucket.folder / "tasks/0.parquet").read_bytes()
    for key in (
        "t/k=1/a.parquet",
        "t/k=2/b.parquet",
        "t/_k/c.parquet",
        "t/k=2/.d.parquet",
        "t/e.txt",
        "other/f.parquet",
    ):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=tasks)
    job = bucket.folder / "job.toml"

    def names(path: str) -> list[str]:
        given = json.dumps([f"s3://{bucket.name}/{each}" for each in path.split()])
        return [file.name for file in plan(Job.load(job, overrides=[f"input.path={given}"])).files]

    assert names("t") == names("t/**/*.parquet") == names("t/*/*.parquet") == ["k=1/a.parquet", "k=2/b.parquet"]
    assert names("t/k=[2-9]/*") == ["k=2/b.parquet"]
    assert names("other/f.parquet other") == ["f.parquet"]


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("input.path='s3://no-such-bucket-here/tasks'", 4, "there is no such bucket"),
        ("input.path='s3://{bucket}/absent'", 4, "absent does not exist"),
        ("output.path='s3://no-such-bucket-here/out'", 5, "no such bucket"),
        ("output.path='s3://{bucket}/tasks/out'", 4, "lies in the input folder"),
        ("output.path='s3://user:pass@{bucket}/out'", 4, "cannot contain credentials or ports"),
        ("output.path='s3://{bucket}/a/../b'", 4, "cannot contain"),
        ("storage.endpoint='http://127.0.0.1:9'", 75, "try again later"),
        ("storage.endpont='http://127.0.0.1:9'", 4, "endpoint"),
        ("storage.profile='nobody'", 4, "nobody"),
    ],
)
def test_what_cannot_be_reached_is_said_before_any_work(override, code, said, bucket):
    ended = bucket.process("--set", override.replace("{bucket}", bucket.name))
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) <= 3
    assert bucket.objects() == {}


def test_a_job_says_where_its_store_is_and_verify_heeds_it(bucket, monkeypatch, capfd):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    endpoint = f"storage.endpoint='{bucket.proxy.url}'"
    assert bucket.process("--engine", "local", "--set", endpoint).returncode == 0
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(bucket.folder / "job.toml"), "--set", endpoint])
    assert ended.value.code == 0, capfd.readouterr().err
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.proxy.url)
    bucket.check_finished()


def test_no_secret_is_written_anywhere(bucket):
    commands = []
    process = subprocess.Popen(
        bucket.command("--engine", "ray", "--debug"),
        cwd=bucket.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while process.poll() is None:
        commands += [_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
        time.sleep(0.2)
    assert process.stdout is not None
    written = [process.stdout.read(), *commands, *bucket.objects().values()]
    process.stdout.close()
    assert process.returncode == 0
    assert not any(SECRET.encode() in each for each in written)
    bucket.check_finished()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.faults
def test_an_output_grows_in_a_bucket(bucket):
    """A day is killed, a file is copied anew with another ETag, and one is replaced by another file."""
    append = ("--set", "output.mode='append'")

    def upload(name: str, first: int) -> bytes:
        table = pa.table({"id": range(first, first + 50), "x": [each / 4 for each in range(first, first + 50)]})
        pq.write_table(table, file := bucket.folder / "day.parquet")
        bucket.client.upload_file(str(file), bucket.name, f"tasks/{name}.parquet")
        return file.read_bytes()

    upload("7", 1000)
    assert bucket.process(*append, JAXBATCH_CRASH_AT="part.published@3").returncode == -9
    whole = upload("8", 2000)
    assert json.loads(bucket.process(*append, "--json").stdout)["rows"] == 650 + 50
    again = {"Bucket": bucket.name, "Key": "tasks/8.parquet"}
    parts = bucket.client.create_multipart_upload(**again)["UploadId"]
    etag = bucket.client.upload_part(**again, UploadId=parts, PartNumber=1, Body=whole)["ETag"]
    made = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    bucket.client.complete_multipart_upload(**again, UploadId=parts, MultipartUpload=made)
    assert json.loads(bucket.process(*append, "--json").stdout)["parts_done"] == 0
    bucket.proxy.requests.clear()
    assert bucket.process(*append).returncode == 0
    asked = [path for method, path in bucket.proxy.requests if "tasks/" in path and "list-type" not in path]
    assert {path.partition("?")[0] for path in asked} <= {f"/{bucket.name}/tasks/8.parquet"}  # the one that differs
    assert verify(f"s3://{bucket.name}/results") == []
    ids = [
        each
        for name, data in bucket.objects().items()
        if name.startswith("data/")
        for each in pq.read_table(pa.BufferReader(data))["id"].to_pylist()
    ]
    assert sorted(ids) == [*range(600), *range(1000, 1050), *range(2000, 2050)]
    upload("8", 3000)
    refused = bucket.process(*append)
    assert (refused.returncode, "it has changed since run 2 computed it" in refused.stderr) == (4, True)
