"""The examples in deploy/: each by the schema or the tool that reads it; the script for cron is run."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
KUBERNETES = "1.33"


def test_the_cron_job_is_one_to_kubernetes():
    document = yaml.safe_load((DEPLOY / "kuberay/cronjob.yaml").read_text())
    kubernetes_validate.validate(document, KUBERNETES, strict=True)
    (container,) = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "jaxbatch submit" in container["args"][0]


def test_the_ray_job_is_made_of_pods():
    """Ray's own resources have no schema here; their pods have."""
    document = yaml.safe_load((DEPLOY / "kuberay/rayjob.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayJob")
    assert document["spec"]["entrypoint"].startswith("jaxbatch run ")
    cluster = document["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}, "a cluster without a token runs code for whoever reaches it"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    options = subprocess.run([Path(sys.executable).with_name("ray"), "start", "--help"], capture_output=True, text=True)
    assert all(f"--{name}" in options.stdout for name in cluster["headGroupSpec"]["rayStartParams"])


@pytest.mark.parametrize(
    "manifest", ["kuberay/cronjob.yaml", "kuberay/rayjob.yaml", "slurm/jaxbatch.sbatch", "airflow/jaxbatch_daily.py"]
)
def test_a_cluster_is_told_what_computes(manifest):
    """Without that the run is refused."""
    assert "compute.device=" in (DEPLOY / manifest).read_text()


@pytest.mark.parametrize("script", ["slurm/jaxbatch.sbatch", "cron/daily.sh"])
def test_bash_reads_the_script(script):
    read = subprocess.run(["bash", "-n", DEPLOY / script], capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


def test_airflow_reads_the_dag():
    source = (DEPLOY / "airflow/jaxbatch_daily.py").read_text()
    compile(source, "jaxbatch_daily.py", "exec")
    pytest.importorskip("airflow", reason="Airflow is too large to install here")
    exec(source, {})


@pytest.fixture
def daily(tmp_path):
    """The script with a job whose tasks lie in a file a day."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "job.toml").write_text(
        'kernel = "apply"\n[params]\nfunction = "jax.numpy:sin"\n[input]\npath = "tasks/{date}.parquet"\n'
        '[output]\npath = "results/{date}"\n'
    )
    environment = {**os.environ, "JOB": str(tmp_path / "job.toml")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(*dates: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([DEPLOY / "cron/daily.sh", *dates], env=environment, capture_output=True, text=True)

    return run


def test_a_backfill_does_every_date_and_a_failure_keeps_no_other(daily, tmp_path):
    for date in ("2026-02-27", "2026-02-28", "2026-03-02"):
        pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / f"tasks/{date}.parquet")
    ended = daily("2026-02-27", "2026-03-02")
    assert ended.returncode == 4, ended.stderr
    assert "2026-03-01: exit 4" in ended.stderr
    done = {path.parent.name for path in tmp_path.glob("results/*/_SUCCESS")}
    assert done == {"2026-02-27", "2026-02-28", "2026-03-02"}


def test_without_a_date_it_does_yesterday(daily, tmp_path):
    yesterday = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)).date()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / f"tasks/{yesterday}.parquet")
    assert daily().returncode == 0
    assert (tmp_path / f"results/{yesterday}/_SUCCESS").exists()
