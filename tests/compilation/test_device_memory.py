"""A batch that its device cannot hold is refused before any work, with the width that fits."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from jaxbatch.compilation import device_memory
from jaxbatch.compilation.device_memory import DeviceMemoryPool
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import ExitCode, JobError
from jaxbatch.kernels.program_key import smallest_programs
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.planning import planner
from jaxbatch.planning.planner import plan

LARGE = "import jax.numpy as jnp\n\ndef f(x):\n    return jnp.sort(jnp.arange(100_000.0) * x)[7]\n"
JOB = 'kernel = "apply"\nparams.function = "large.py:f"\n'


@pytest.fixture
def large(bench):
    """A job of which each row needs 800 kB on the way to one number."""
    bench.file("large.py", LARGE)
    bench.tasks({"x": np.arange(200.0)})
    return bench


def test_what_does_not_fit_is_refused_with_the_width_that_does(large, monkeypatch):
    monkeypatch.setattr(device_memory, "host_bytes", lambda: 80 << 20)
    with pytest.raises(JobError, match=r"A batch of 256 rows .* needs .* [GM]iB, but the cpu has 80 MiB") as refused:
        large.run(JOB)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert not (large.folder / "results/data").exists()
    width = int(re.search(r"batch_rows = (\d+)", str(refused.value))[1])  # type: ignore[index]
    assert 8 <= width <= 64
    summary = large.run(JOB, f"compute.batch_rows={width}")
    assert (summary.exit_code, summary.rows) == (0, 200)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_refusal_is_the_same_on_both_engines(engine, large, jaxbatch):
    large.job(JOB)
    ended = jaxbatch("run", "job.toml", "--quiet", "--engine", engine, "--set", "compute.batch_rows=100000000")
    assert ended.returncode == 4, ended.stderr
    assert "Set [compute] batch_rows = " in ended.stderr
    assert len(ended.stderr.splitlines()) <= 3


def test_what_fits_is_not_compiled_for_that(large):
    assert large.run(JOB).compilations == 1
    assert device_memory.fitting_width(256, 1000, 999) == 128
    assert device_memory.fitting_width(256, 1000, 1) == 1


def test_what_was_compiled_ahead_is_refused_all_the_same_where_it_shares_the_device(large, monkeypatch):
    """One batch fits by itself; of eight at once none does."""
    traced: list[ProgramSet] = []
    plan(large.job(JOB, "job.toml", "compute.batch_rows=32"), traced=traced.append)
    (programs,), device = traced, jax.devices()[0]
    assert isinstance(programs, Programs)
    monkeypatch.setattr(device_memory, "host_bytes", lambda: 100 << 20)
    programs.prepare(smallest_programs(programs.kernel)[0], device)
    programs.check_memory(device)
    programs.share(8)
    with pytest.raises(JobError, match="for each of 8 concurrent batches"):
        programs.check_memory(device)


def test_batches_beyond_what_a_device_has_wait_for_others():
    budget, inside, most, together = DeviceMemoryPool(), [], [], threading.Barrier(2)

    def batch(_: int) -> None:
        with budget.reserve(40, 100):
            inside.append(1)
            most.append(len(inside))
            together.wait(60)
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(batch, range(8)))
    assert max(most) == 2


def test_a_batch_that_is_too_large_by_itself_is_computed_alone():
    budget = DeviceMemoryPool()

    def small() -> None:
        with budget.reserve(1, 100):
            pass

    with ThreadPoolExecutor(1) as pool:
        with budget.reserve(500, 100):
            other = pool.submit(small)
            assert wait([other], timeout=0.2).not_done
        other.result(timeout=60)


def test_the_batches_of_one_worker_share_the_memory_of_their_device(bench, monkeypatch):
    """Though many may compute, no more do so at once than there is memory for."""
    x = np.arange(64.0 * 40)
    bench.tasks({"x": x})
    at_once, most, taken = [], [], DeviceMemoryPool.reserve

    @contextmanager
    def counted(budget: DeviceMemoryPool, count: int, size: int) -> Iterator[None]:
        assert 2 * count < size
        with taken(budget, count, 2 * count):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.001)
            yield
            at_once.pop()

    monkeypatch.setattr(DeviceMemoryPool, "reserve", counted)
    monkeypatch.setattr(planner, "CHUNK_ROWS", 64)
    job = 'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\n[compute]\nbatch_rows = 64\n'
    assert bench.run(job, workers=8).exit_code == 0
    assert max(most) == 2
