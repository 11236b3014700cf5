"""Tables in a bucket, joined to rows: files, folders with keys, and finished outputs."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import verify
from jaxbatch.errors import JobError

JOB = """
kernel = "apply"
params.function = "own.py:f"
[input]
path = "tasks.parquet"
[input.lookup.market]
path = "PATH"
on = ["k"]
columns = ["spot"]
[output]
path = "RESULTS"
"""


@pytest.fixture
def job(bench, bucket):
    """A job over four rows, and a table in a bucket, in two files of which each has the key ``region``."""
    bench.tasks({"k": [3, 1, 2, 4], "x": [1.0, 2.0, 3.0, 4.0]})
    bench.file("own.py", "def f(x, spot):\n    return x * spot\n")
    for region, keys in (("EU", [1, 2]), ("US", [3, 4])):
        file = io.BytesIO()
        pq.write_table(pa.table({"k": keys, "spot": [10.0 * key for key in keys]}), file)
        bucket.client.put_object(Bucket=bucket.name, Key=f"market/region={region}/a.parquet", Body=file.getvalue())
    return JOB.replace("PATH", f"s3://{bucket.name}/market")


def test_a_folder_of_a_bucket(bench, job):
    rows = bench.rows(
        job.replace("RESULTS", "results").replace('["k"]', '{ k = "k" }').replace('["spot"]', '["spot", "region"]')
    )
    assert [row["value"] for row in rows] == [30.0, 20.0, 60.0, 160.0]


def test_a_finished_output_and_an_unfinished_one(bench, job, bucket):
    first = f"s3://{bucket.name}/first"
    bench.run(job.replace("RESULTS", first))
    assert verify(first) == []
    again = job.replace("RESULTS", "results").replace(f"s3://{bucket.name}/market", first)
    again = again.replace('["spot"]', '["value"]').replace(
        "[input.lookup", 'columns = { spot = "value" }\n[input.lookup'
    )
    assert [row["value"] for row in bench.rows(again)] == [30.0, 40.0, 180.0, 640.0]
    bucket.client.delete_object(Bucket=bucket.name, Key="first/_SUCCESS")
    with pytest.raises(JobError, match="is an output whose run is not finished"):
        bench.run(again)


def test_an_output_may_not_lie_in_the_table(bench, job, bucket):
    with pytest.raises(JobError, match="lies in the lookup folder"):
        bench.run(job.replace("RESULTS", f"s3://{bucket.name}/market/results"))
