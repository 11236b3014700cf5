"""Every cell of the notebook that the project grew out of, as a job on Parquet files; its two faults not repeated."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data" / "notebook.parquet"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """The project's own jobs and functions, with the notebook's tasks."""
    folder = tmp_path_factory.mktemp("jobs")
    for source in [*(ROOT / "jobs").glob("*.toml"), ROOT / "jobs" / "functions.py"]:
        shutil.copy(source, folder)
    tasks = folder / "tasks"
    tasks.mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tasks / "gradient.parquet")
    expansions = pa.table({"center": [49.0] * 5, "point": [43.0] * 5, "order": [1, 2, 3, 4, 5]})
    pq.write_table(expansions, tasks / "sqrt-taylor.parquet")
    data = pq.read_table(DATA)
    one_row = {name: pa.array([data[name].to_pylist()], pa.list_(pa.float32())) for name in data.column_names}
    pq.write_table(pa.table(one_row), tasks / "notebook.parquet")
    return folder


def rows(jobs: Path, name: str, *options: str) -> list[dict]:
    """Run a job by the command line, and read what it wrote."""
    command = [sys.executable, "-m", "jaxbatch", "run", f"{name}.toml", "--json", "--quiet", "--restart", *options]
    finished = subprocess.run(command, cwd=jobs, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0, finished.stderr
    return pq.read_table(Path(json.loads(finished.stdout)["output"]) / "data").to_pylist()


def test_gradient_of_the_square_at_one(jobs):
    assert rows(jobs, "gradient") == [{"x": 1.0, "value": 1.0, "d1": 2.0, "status": "ok"}]


def test_root_of_43_about_49_order_by_order(jobs):
    table = {
        1: (6.571428571428571, -0.013990047),
        2: (6.558309037900875, -8.7e-4),
        3: (6.557505801154281, -6.7e-5),
        4: (6.557444328954287, -5.8e-6),
        5: (6.557439059908573, -5.4e-7),
    }
    found = rows(jobs, "sqrt-taylor")
    for row in found:
        approximation, error = table[row["order"]]
        assert row["approximations"][-1] == pytest.approx(approximation, rel=4e-16)
        assert row["errors"][-1] == pytest.approx(error, rel=2e-2)
        assert row["errors"][-1] == pytest.approx(math.sqrt(43) - approximation, abs=2e-15)
    last = [abs(row["errors"][-1]) for row in found]
    assert last == sorted(last, reverse=True), "the notebook's errors grew with the order; these must shrink"


def test_first_order_in_float32_as_the_notebook_has_it(jobs):
    (row, *_) = rows(jobs, "sqrt-taylor", "--set", 'compute.precision="float32"')
    assert row["approximations"][-1] == pytest.approx(6.5714287757873535, rel=1e-7)
    assert row["errors"][-1] == pytest.approx(-0.013990402, abs=1e-6)


def test_descent(jobs):
    (row,) = rows(jobs, "descent")
    np.testing.assert_allclose(row["coefficients"], [0.999997, -0.4451895, 3.1487293], atol=2e-8, rtol=2e-7)
    assert row["steps"] == pytest.approx(1301, rel=0.05)
    assert row["loss"] == pytest.approx(1.1249e-11, rel=0.05)
    assert row["converged"]
    assert row["status"] == "rank_deficient"


def test_closed_form(jobs):
    (row,) = rows(jobs, "closed-form")
    assert (row["status"], row["rank"]) == ("rank_deficient", 2)
    np.testing.assert_allclose(row["coefficients"], [1.0, 0.9001, 2.7003], atol=1e-6)
