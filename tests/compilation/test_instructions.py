"""The instruction set that XLA may use: fixed before JAX starts, and named as it is where JAX has started."""

import json
import os
import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such choice")
def test_the_instructions_are_those_that_every_machine_has(jaxbatch, tmp_path):
    assert jaxbatch("init", ".", "--kernel", "apply").returncode == 0
    assert jaxbatch("run", "job.toml").returncode == 0
    said = json.loads(next(tmp_path.glob("results/*/_jaxbatch/plan.json")).read_text())["identity"]["code"]
    assert "--xla_cpu_max_isa=AVX2" in said["xla_flags"]
    assert said["instructions"] == "x86_64 AVX2"
    other = jaxbatch("run", "job.toml", env={**os.environ, "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"})
    assert other.returncode == 5
    assert "XLA_FLAGS was" in other.stderr


def test_a_regression_by_numpy_knows_no_instructions(jaxbatch, tmp_path):
    assert jaxbatch("init", ".", "--kernel", "regression").returncode == 0
    assert jaxbatch("run", "job.toml").returncode == 0
    said = json.loads(next(tmp_path.glob("results/*/_jaxbatch/plan.json")).read_text())["identity"]["code"]
    assert not {"instructions", "xla_flags", "cpus", "jax_settings", "linear_algebra"} & said.keys()
    changed = {**os.environ, "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "OPENBLAS_CORETYPE": "Prescott"}
    again = jaxbatch("run", "job.toml", "--json", env=changed)
    assert (again.returncode, json.loads(again.stdout)["parts_skipped"]) == (0, 1)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have no such choice")
def test_where_jax_has_started_its_instructions_are_told_as_they_are(jaxbatch, tmp_path):
    assert jaxbatch("init", ".").returncode == 0
    script = (
        "import jax, jaxbatch\njax.devices()\n"
        "print(jaxbatch.plan('job.toml').identity['code']['xla_flags'])\n"
        "jaxbatch.run('job.toml')\nprint(jaxbatch.plan('job.toml').identity['code']['xla_flags'])\n"
        "import os\nfrom jaxbatch.compilation import instructions\nwith instructions.worker_xla_flags():\n"
        "    assert 'AVX2' in os.environ['XLA_FLAGS']\n"
        "assert 'XLA_FLAGS' not in os.environ\nassert instructions.startup_env().flags == ''\n"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "\n\n"), ended.stderr
