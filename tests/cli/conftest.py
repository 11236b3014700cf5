"""A folder with a small job, and the command line run on it in this process."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import cli

JOB = """
kernel = "derivatives"
[params]
function = "jax.numpy:sin"
[input]
path = "tasks/*.parquet"
[output]
path = "results/{name}"
"""


@pytest.fixture
def main(tmp_path, monkeypatch, capfd):
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return run


@pytest.fixture
def job(tmp_path):
    """A job with three rows of tasks."""
    (tmp_path / "tasks").mkdir()
    pq.write_table(pa.table({"id": [1, 2, 3], "x": [0.0, 1.0, 2.0]}), tmp_path / "tasks" / "a.parquet")
    path = tmp_path / "job.toml"
    path.write_text(JOB)
    return path
