"""``jaxbatch init`` and ``jaxbatch kernels``: the jobs they show run."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.cli import job_templates
from jaxbatch.kernels import registry


@pytest.mark.parametrize("kernel", list(job_templates.TEMPLATES))
def test_init_writes_a_job_that_runs_and_kernels_describes_it(kernel, main):
    assert main("init", "new", "--kernel", kernel)[0] == 0
    assert main("run", "new/job.toml", "--quiet") == (0, "", "")
    assert main("init", "new", "--kernel", kernel)[0] == 4
    code, out, _ = main("kernels", kernel)
    assert code == 0
    assert "[params]" in out
    assert f'kernel = "{kernel}"' in out


def test_the_further_examples_that_kernels_shows_run(main, tmp_path):
    (tmp_path / "functions.py").write_text("def price(spot, vol, maturity):\n    return spot * vol * vol * maturity\n")
    options = pa.table({"spot": [2.0], "vol": [3.0], "maturity": [1.0]})
    days = pa.table(
        {"instrument": ["a"] * 4, "returns": [1.0, 2, 4, 3], "market": [1.0, 0, 2, 1], "size": [0.0, 1, 1, 3]}
    )
    points = pa.table({"function": ["sqrt", "exp"], "center": [1.0, 1], "point": [1.5, 1.5], "order": [2, 2]})
    found = {}
    for kernel, tasks in (("derivatives", options), ("regression", days), ("taylor", points)):
        pq.write_table(tasks, tmp_path / f"{kernel}.parquet")
        ((_, text),) = json.loads(main("kernels", kernel, "--json")[1])["more"].items()
        where = f'[input]\npath = "{kernel}.parquet"\n[output]\npath = "{kernel}"\n'
        job = tmp_path / f"{kernel}.toml"
        job.write_text(f'kernel = "{kernel}"\n{text}{where}')
        assert main("run", str(job), "--quiet")[0] == 0
        found[kernel] = pq.read_table(tmp_path / kernel / "data")
    assert found["derivatives"].drop(["spot", "vol", "maturity"]).to_pylist() == [
        {"value": 18.0, "d_spot": 9.0, "d_vol": 12.0, "d_spot_spot": 0.0, "d_spot_vol": 6.0, "status": "ok"}
    ]
    assert found["regression"]["instrument"].to_pylist() == ["a"]
    assert [len(each) for each in found["taylor"]["coefficients"].to_pylist()] == [3, 3]


def test_kernels_gives_the_type_of_each_parameter(main):
    kinds = {
        each["name"]: each["type"] for each in json.loads(main("kernels", "regression", "--json")[1])["parameters"]
    }
    assert kinds["features"] == "a list of texts"
    assert kinds["method"] == '"auto" or "cholesky" or "qr" or "svd" or "gradient_descent"'
    assert kinds["learning_rate"] == 'a number or "auto"'
    assert (kinds["intercept"], kinds["max_steps"]) == ("true or false", "an integer")


def test_kernels_lists_every_kernel(main):
    code, out, _ = main("kernels")
    assert code == 0
    names = registry.names()
    assert {"apply", "derivatives", "regression", "taylor"} <= set(names)
    assert [line.split()[0] for line in out.splitlines()[: len(names)]] == names
