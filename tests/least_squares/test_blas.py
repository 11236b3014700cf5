"""How many threads NumPy's matrix products take."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from jaxbatch.least_squares.arithmetic.blas import has_one_thread
print(has_one_thread())
"""


@pytest.mark.parametrize(("threads", "answer"), [("1", "True"), ("2", "False")])
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread anyway")
def test_a_process_knows_its_threads(threads, answer):
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [answer]
