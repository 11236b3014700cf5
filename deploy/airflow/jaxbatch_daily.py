"""Each day's tasks as a task of Airflow, on a Ray cluster; it is retried only where a retry can help.

The cluster's token is in the worker's environment as RAY_AUTH_TOKEN. A task that is run again, by a retry, by hand or
as part of a backfill, joins the job if that is still running, and else writes the missing parts.
"""

from datetime import datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

JOB = "/srv/jobs/job.toml"
CLUSTER = "http://ray-head.example:8265"
DEVICE = 'compute.device="gpu"'
"""The device on the cluster; compute.device="cpu" where its workers have no GPUs."""
NO_USE_TO_RETRY = {2, 3, 4, 5}
"""Usage, too many failed rows, a job or input that is refused, an output or cluster that refuses us."""


@dag(schedule="30 2 * * *", start_date=datetime(2026, 11, 1), catchup=True, max_active_runs=2)
def jaxbatch_daily() -> None:
    """One task a day."""

    @task(retries=3, retry_delay=timedelta(minutes=5), retry_exponential_backoff=True)
    def run(ds: str | None = None) -> None:
        import subprocess

        command = ["jaxbatch", "submit", JOB, "--var", f"date={ds}", "--address", CLUSTER, "--set", DEVICE]
        code = subprocess.run(command, check=False).returncode
        if code in NO_USE_TO_RETRY:
            raise AirflowFailException(f"jaxbatch ended with {code}: see its messages above.")
        if code:
            raise RuntimeError(f"jaxbatch ended with {code}: a retry writes the missing parts.")

    run()


jaxbatch_daily()
