"""Shards in flight use all cores, for kernels that do nothing but compute too."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

FUNCTION = """
import jax

def f(x):
    return jax.lax.fori_loop(0, 3000, lambda _, y: jax.numpy.sin(y) + x, x)
"""

JOB = """
kernel = "apply"
[params]
function = "function.py:f"
[input]
path = "tasks.parquet"
[output]
path = "OUTPUT"
rows_per_part = 16384
"""

SCRIPT = """
import json, sys, time
from jaxbatch import run
assert run(sys.argv[1], workers=2).exit_code == 0  # compiles
wall, cpu = time.perf_counter(), time.process_time()
assert run(sys.argv[2], workers=2).exit_code == 0
print(json.dumps((time.process_time() - cpu) / (time.perf_counter() - wall)))
"""

ENOUGH = 1.25
"""Cores in use, on average over a whole run: one thread at a time gives 1 at most."""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core only")
def test_two_shards_in_flight_use_more_than_one_core(bench):
    bench.file("function.py", FUNCTION)
    bench.tasks({"x": np.linspace(0.0, 1.0, 8 * 16384)}, row_group_size=16384)
    used = []
    for attempt in range(10):  # who else is at work here takes cores away, but gives none
        jobs = [bench.file(f"{attempt}{which}.toml", JOB.replace("OUTPUT", f"out{attempt}{which}")) for which in "ab"]
        out = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, jobs)], capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        used.append(json.loads(out.stdout))
        if used[-1] > ENOUGH:
            return
    pytest.fail(f"cores used: {used}")
