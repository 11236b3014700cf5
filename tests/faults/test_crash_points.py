"""The process is ended at every place where its state on the disk differs; then the run is finished."""

import re
from pathlib import Path

import pytest

from jaxbatch.failpoints import POINTS
from tests.faults.conftest import Site

PACKAGE = Path(__file__).parents[2] / "jaxbatch"
KILLED = -9


def crash_and_finish(site: Site, point: str) -> None:
    """End a run there, see what a reader sees, and finish it."""
    ended = site.process("--engine", "local", "--workers", "1", JAXBATCH_CRASH_AT=point)
    assert ended.returncode == KILLED, ended.stderr
    site.check_readable()
    assert site.run().exit_code == 0
    site.check_finished()


def test_every_point_is_in_the_list_and_in_the_code():
    source = "".join(file.read_text() for file in PACKAGE.rglob("*.py"))
    assert set(re.findall(r'crash_point\("(.+?)"\)', source)) == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing(point, site):
    crash_and_finish(site, point)


MIDDLE = ("put@4", "part.published@3", "shard.done@2", "aside.synced@5")


@pytest.mark.parametrize("point", MIDDLE)
def test_a_crash_in_the_middle_costs_a_part_at_most(point, site):
    assert site.process("--engine", "local", "--workers", "1", JAXBATCH_CRASH_AT=point).returncode == KILLED
    site.check_readable()
    there = len(site.digests())
    assert 0 < there < 6
    summary = site.run()
    assert (summary.parts_skipped, summary.parts_done) == (there, 6 - there)
    site.check_finished()


STAGES = (
    "part.published@3",
    *(pytest.param(each, marks=pytest.mark.faults) for each in ("part.published@1", "sealing", "deleted@6")),
)


@pytest.mark.parametrize("point", STAGES)
def test_a_crash_between_two_stages_loses_nothing(point, grouped):
    crash_and_finish(grouped, point)


@pytest.mark.parametrize("times", [2, *(pytest.param(each, marks=pytest.mark.faults) for each in (1, 5))])
def test_a_crash_while_an_old_output_is_removed_leaves_nothing_that_looks_finished(times, site):
    assert site.run().exit_code == 0
    before = site.digests()
    job = site.folder / "job.toml"
    job.write_text(job.read_text().replace("jax.numpy:sin", "jax.numpy:cos"))
    assert site.process("--restart", JAXBATCH_CRASH_AT=f"deleted@{times}").returncode == KILLED
    assert not (site.output / "_SUCCESS").exists()
    assert site.digests().items() <= before.items()
    refused = site.process()
    assert (refused.returncode, "--restart" in refused.stderr) == (5, True)
    assert site.process("--restart").returncode == 0
    assert site.run().parts_skipped == 6


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("times", range(1, 9))
@pytest.mark.parametrize("job", ["site", "grouped"])
def test_a_crash_at_every_passage_loses_nothing(job, times, point, request):
    site = request.getfixturevalue(job)
    ended = site.process("--engine", "local", "--workers", "1", JAXBATCH_CRASH_AT=f"{point}@{times}")
    assert ended.returncode in (KILLED, 0)  # 0 where the point is not passed so often
    site.check_readable()
    assert site.run().exit_code == 0
    site.check_finished()
