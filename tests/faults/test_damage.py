"""What happens to an output behind our back, is found; what is left undone, is done."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, plan, verify
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.output import part_file
from jaxbatch.output.paths import part_name


def first_part(site):
    return min((site.output / "data").iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda part: part.unlink(),
        lambda part: part.write_bytes(part.read_bytes()[:-100]),
        lambda part: part.write_bytes(b""),
        lambda part: part.write_bytes(part.read_bytes()[:40]),
    ],
    ids=["deleted", "truncated", "emptied", "a stub"],
)
def test_a_part_that_is_gone_or_cut_is_made_again(damage, site):
    site.run()
    damage(first_part(site))
    assert verify(site.output) != []
    summary = site.run()
    assert (summary.exit_code, summary.parts_skipped, summary.parts_done) == (0, 5, 1)
    site.check_finished()


def test_a_part_that_was_altered_by_hand_is_found_by_its_digest(site):
    site.run()
    part = first_part(site)
    data = bytearray(part.read_bytes())
    chunk = pq.read_metadata(part).row_group(0).column(1)
    data[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 1
    part.write_bytes(data)
    (said,) = verify(site.output)
    assert part.name in said
    assert "digest" in said


def test_a_part_of_another_run_that_comes_late_is_removed_by_sealing(site):
    planned = plan(Job.load(site.folder / "job.toml"))
    table = planned.schema.empty_table()
    name = part_name(0, "f" * 64)
    data, _ = part_file.encode(table, part=0, fingerprint="f" * 64, compression="snappy", statuses={})
    assert site.process(JAXBATCH_CRASH_AT="sealing").returncode == -9
    (site.output / name).write_bytes(data)
    assert site.run().exit_code == 0
    site.check_finished()


def test_a_worker_that_outlives_its_driver_changes_nothing(site):
    planned = plan(Job.load(site.folder / "job.toml"))
    zombie = WorkerProcess(planned)
    site.run()
    for shard in planned.first.shards:  # a zombie goes on after the run was resumed and sealed
        outcome = run_shard(zombie, shard, [part.index for part in shard.parts])
        assert not outcome.failures
    site.check_finished()


def test_two_drivers_at_once_write_one_output(site):
    processes = [subprocess.Popen(site.command("--workers", "2"), cwd=site.folder) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    site.check_finished()


def test_two_different_jobs_at_once_do_not_mix(site):
    other = site.folder / "other.toml"
    other.write_text((site.folder / "job.toml").read_text().replace("jax.numpy:sin", "jax.numpy:cos"))
    command = [sys.executable, "-m", "jaxbatch", "run", "other.toml", "--quiet"]
    both = [subprocess.Popen(each, cwd=site.folder, stderr=subprocess.PIPE) for each in (site.command(), command)]
    codes = [process.wait(timeout=120) for process in both]
    for process in both:
        assert process.stderr is not None
        process.stderr.close()
    assert sorted(codes) == [0, 5]
    assert verify(site.output) == []
    if codes[0] == 0:
        site.check_finished()


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.faults)])
def test_a_run_whose_folder_is_taken_by_another_leaves_nothing_in_it(engine, site):
    """The other is faster, and done long before this one would be."""
    shutil.copy(Path(__file__).parents[1] / "counting.py", site.folder)
    slow = site.folder / "slow.toml"
    slow.write_text(
        'kernel = "counting.py:Counting"\nparams = { seconds = 1.0 }\n[input]\npath = "tasks"\n'
        '[output]\npath = "results"\nrows_per_part = 10\n'
    )
    command = [sys.executable, "-m", "jaxbatch", "run", "slow.toml", "--quiet", "--engine", engine, "--workers", "2"]
    with subprocess.Popen(command, cwd=site.folder, stderr=subprocess.PIPE, text=True) as process:
        while len(list((site.output / "data").glob("*"))) < 3:
            assert process.poll() is None
            time.sleep(0.05)
        assert site.run(restart=True).exit_code == 0
        _, said = process.communicate(timeout=120)
    assert process.returncode == 5, said
    assert "taken over by another run" in said
    site.check_finished()


def test_a_disk_that_fills_fails_parts_cleanly_and_the_run_goes_on_later(site):
    """No file may grow beyond 4 KiB, which is more than plan.json has and less than a part."""
    assert site.process("--engine", "local", "--workers", "1", JAXBATCH_CRASH_AT="claimed").returncode == -9
    limited = f"ulimit -f 4; exec {' '.join(site.command('--engine', 'local'))}"  # in KiB
    ended = subprocess.run(["bash", "-c", limited], cwd=site.folder, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert "File too large" in ended.stderr
    site.check_readable()
    assert list((site.output / "_jaxbatch/tmp").iterdir()) == []
    assert site.run().exit_code == 0
    site.check_finished()


@pytest.fixture
def small_disk(site):
    """The site's output on a disk of 256 KiB."""
    site.output.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(site.output)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield site
    subprocess.run(["umount", "-l", str(site.output)], check=True)


def test_a_full_disk_fails_parts_and_leaves_nothing_half_written(small_disk):
    blocker = small_disk.output / "_jaxbatch" / "tmp" / "blocker"
    assert small_disk.process("--engine", "local", JAXBATCH_CRASH_AT="claimed").returncode == -9
    free = shutil.disk_usage(small_disk.output).free
    blocker.write_bytes(bytes(free - 3 * 4096))
    ended = small_disk.process("--engine", "local")
    assert ended.returncode == 1, ended.stderr
    assert "No space left" in ended.stderr
    small_disk.check_readable()
    blocker.unlink()
    assert small_disk.run().exit_code == 0
    small_disk.check_finished()


def test_what_cannot_fit_is_refused_before_the_first_part(small_disk):
    job = small_disk.folder / "job.toml"
    job.write_text(job.read_text().replace('"tasks"', '"many"') + 'compression = "none"\n')
    (small_disk.folder / "many").mkdir()
    rows = 100_000
    pq.write_table(pq.read_table(small_disk.folder / "tasks").take([0] * rows), small_disk.folder / "many/a.parquet")
    ended = small_disk.process("--engine", "local")
    assert ended.returncode == 5
    assert re.search(r"has \d+ KiB free", ended.stderr)
    assert not (small_disk.output / "data").exists()


def test_a_file_system_without_links_is_told_of_once_and_keeps_the_promise(site, monkeypatch, caplog):
    def refused(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    threads = [threading.Thread(target=site.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.check_finished()
    assert [r.message for r in caplog.records].count(
        f"{site.output} does not support hard links (Operation not permitted): publishing parts by renaming."
    ) in range(1, 7)
