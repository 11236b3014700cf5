"""Workers that die, stop, hang or eat the memory: the part that does it is named, and the rest is finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

POISON = '''
import ctypes, os, signal, sys, time
from pathlib import Path
from jaxbatch import Column, Kernel
import jax.numpy as jnp

if os.environ.get("POISON") == "stop at the start" and "default_worker" in sys.argv[0]:
    try:
        (Path(__file__).parent / "poisoned").touch(exist_ok=False)
    except FileExistsError:
        pass
    else:
        os.kill(os.getpid(), signal.SIGSTOP)

class Poison(Kernel):
    """sin, but for the part that begins with id 200."""

    inputs = (Column("x"), Column("id", "int"))
    outputs = (Column("value"), Column("d1"))
    kind = ""

    def bucket(self, columns):
        if columns["id"][0] == 200 and os.environ.get("POISON"):
            self.poison(os.environ["POISON"])
        return 0

    def poison(self, kind):
        flag = Path(__file__).parent / "poisoned"
        once, flag_was = kind.startswith("once "), flag.exists()
        flag.touch()
        if once and flag_was:
            return
        match kind.removeprefix("once "):
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(1)
            case "hang":
                time.sleep(600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "unpicklable":
                raise type("Local", (Exception,), {"__reduce__": None})("cannot be sent")
            case "memory":
                held = []
                while True:
                    held.append(bytearray(64 << 20))
                    time.sleep(0.01)

    def row(self, x, id):
        return {"value": jnp.sin(x), "d1": jnp.cos(x)}
'''


@pytest.fixture
def poisoned(site):
    """A job whose third part is what POISON says; its other parts are the same with and without."""
    (site.folder / "poison.py").write_text(POISON)
    job = site.folder / "job.toml"
    job.write_text(
        'kernel = "poison.py:Poison"\n[input]\npath = "tasks"\n[output]\npath = "results"\nrows_per_part = 100\n'
        "[cluster]\nattempts = 1\nworkers = 2\n"
    )
    undisturbed = site.process("--engine", "local")
    assert undisturbed.returncode == 0, undisturbed.stderr
    site.expected = site.digests()
    (site.output / "_SUCCESS").unlink()
    for part in (site.output / "data").iterdir():
        part.unlink()
    return site


def errors(site) -> dict[int, str]:
    lines = (site.output / "_jaxbatch/errors.jsonl").read_text().splitlines()
    return {line["part"]: line["reason"] for line in map(json.loads, lines)}


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["segfault", "unpicklable"])
def test_poison_is_pinned_on_its_part_and_a_rerun_does_only_that(kind, poisoned):
    ended = poisoned.process("--engine", "ray", POISON=kind)
    assert ended.returncode == 1, ended.stderr
    assert list(errors(poisoned)) == [2]
    poisoned.check_readable()
    assert len(poisoned.digests()) == 5
    mended = poisoned.process("--engine", "local", "--json")
    assert json.loads(mended.stdout)["parts_done"] == 1
    poisoned.check_finished()


def test_a_segfault_ends_the_local_engine_and_the_next_runs_close_in_on_it(poisoned):
    first = poisoned.process("--engine", "local", "--workers", "2", POISON="segfault")
    assert first.returncode == -signal.SIGSEGV
    second = poisoned.process("--engine", "local", "--workers", "2", POISON="segfault")
    assert second.returncode == -signal.SIGSEGV
    assert "was killed, or is still running, while computing part" in second.stderr
    for _ in range(2):  # the one that ended it comes last then, and whatever stood beside it before
        third = poisoned.process("--engine", "local", "--workers", "2", POISON="segfault")
        assert third.returncode == -signal.SIGSEGV
        assert "one at a time" in third.stderr
        poisoned.check_readable()
    assert len(poisoned.digests()) == 5, "all but the poisoned part are there"
    fourth = poisoned.process("--engine", "local")
    assert "while computing part 2." in fourth.stderr
    assert fourth.returncode == 0
    poisoned.check_finished()


@pytest.mark.faults
def test_a_stopped_worker_is_replaced_at_the_deadline_and_its_part_done_elsewhere(poisoned):
    ended = poisoned.process("--engine", "ray", "--set", "cluster.part_timeout_s=4", POISON="once stop")
    assert ended.returncode == 0, ended.stderr
    poisoned.check_finished()


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["once stop", "stop at the start"])
def test_a_worker_that_answers_no_more_is_replaced_without_a_deadline(kind, poisoned):
    impatient = (
        "from jaxbatch.cluster import actors; actors.PING_INTERVAL_S, actors.PING_TIMEOUT_S = 1.0, 4.0; "
        "from jaxbatch.cli import main; main(['run', 'job.toml', '--quiet', '--engine', 'ray'])"
    )
    command = [sys.executable, "-c", impatient]
    subprocess.run(command, cwd=poisoned.folder, env={**os.environ, "POISON": kind}, check=True, timeout=120)
    assert (poisoned.folder / "poisoned").exists()
    poisoned.check_finished()


def staller(folder: Path, job: str) -> None:
    """A kernel whose first row of a shard takes long, the first time or always; and 16 rows in 4 shards of 4 parts."""
    (folder / "stall.py").write_text(
        "import os, time\nfrom pathlib import Path\nimport jax.numpy as jnp\nfrom jaxbatch import Column, Kernel\n\n"
        "class Stall(Kernel):\n    inputs = (Column('x'),)\n    outputs = (Column('y'),)\n\n"
        "    def bucket(self, columns):\n"
        "        flag = Path(__file__).parent / f'stalled-{columns[\"x\"][0]:.0f}'\n"
        "        if columns['x'][0] % 4 == 0 and (os.environ.get('STALL') or not flag.exists()):\n"
        "            flag.touch()\n            time.sleep(float(os.environ.get('STALL', 3)))\n"
        "        time.sleep(0.3)\n        return 0\n\n"
        "    def row(self, x):\n        return {'y': jnp.sin(x)}\n"
    )
    pq.write_table(pa.table({"x": np.arange(16.0)}), folder / "x.parquet", row_group_size=4)
    (folder / "job.toml").write_text(
        'kernel = "stall.py:Stall"\n[input]\npath = "x.parquet"\n[output]\npath = "results"\nrows_per_part = 1\n' + job
    )


def test_a_shard_that_stalls_once_is_done_all_the_same(site):
    """Its thread goes on where it was when its second attempt is long at work, and must not be in its way."""
    staller(site.folder, "[cluster]\nattempts = 1\npart_timeout_s = 0.6\n")
    ended = site.process("--engine", "local", "--workers", "4", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["rows"] == 16
    assert len(list((site.output / "data").iterdir())) == 16


def test_threads_that_hang_are_bounded_and_what_nobody_is_left_for_is_said(site):
    staller(site.folder, "[cluster]\nattempts = 1\npart_timeout_s = 0.05\n")
    ended = site.process("--engine", "local", "--workers", "1", STALL="600")
    assert ended.returncode == 1, ended.stderr
    reasons = errors(site)
    assert len(reasons) == 16
    assert any("took more than" in reason for reason in reasons.values())
    assert any("6 threads are stuck" in reason for reason in reasons.values())


@pytest.mark.faults
def test_a_part_that_eats_the_memory_is_reported_as_that(poisoned):
    """Ray's monitor kills from a tenth above what is used now, or earlier."""
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    threshold = f"{min(0.95, 1 - available / total + 0.15):.2f}"
    ended = poisoned.process(
        "--engine", "ray", POISON="memory", RAY_memory_usage_threshold=threshold, RAY_memory_monitor_refresh_ms="100"
    )
    assert ended.returncode == 1, ended.stderr
    assert "memory" in errors(poisoned)[2]
    assert len(poisoned.digests()) == 5
    assert poisoned.process("--engine", "local").returncode == 0
    poisoned.check_finished()


@pytest.mark.faults
@pytest.mark.parametrize("victim", ["worker", "raylet", "gcs_server"])
def test_a_process_of_a_private_ray_is_killed(victim, poisoned):
    """A worker costs nothing; without its raylet or GCS the run ends, and the next one finishes it."""
    process = subprocess.Popen(poisoned.command("--engine", "ray"), cwd=poisoned.folder, start_new_session=True)
    target = {"worker": "ray::Actor", "raylet": "raylet/raylet", "gcs_server": "gcs_server"}[victim]
    deadline = time.monotonic() + 60
    while not (found := descendants(process.pid, target)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(found[0], signal.SIGKILL)
    code = process.wait(timeout=200)
    assert code == 0 or victim != "worker"
    poisoned.check_readable()
    assert poisoned.process("--engine", "local").returncode == 0
    poisoned.check_finished()


def descendants(root: int, name: str) -> list[int]:
    """The processes below ``root`` whose command line has ``name`` in it."""
    parents, lines = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue

    def below(pid: int) -> bool:
        while pid > 1:
            if pid == root:
                return True
            pid = parents.get(pid, 0)
        return False

    return [pid for pid, line in lines.items() if name in line and pid != root and below(pid)]
