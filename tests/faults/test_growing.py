"""An output that grows, while runs are killed, started twice and late."""

import signal

import pytest

from jaxbatch import failpoints
from tests.daily import Daily


@pytest.fixture
def daily(tmp_path) -> Daily:
    return Daily(tmp_path)


def test_a_week_of_daily_runs(daily):
    daily.arrives("11-16")
    assert daily.run().rows == 50
    daily.check()

    daily.arrives("11-17")  # killed half-way, and not noticed
    killed = daily.start(JAXBATCH_CRASH_AT="part.published@2")
    assert daily.finish(killed)[0] == -signal.SIGKILL
    assert not (daily.output / "_SUCCESS").exists()
    there = len(daily.parts()) - 3
    assert there in (2, 3)  # another part may have been on its way

    daily.arrives("11-18")  # finishes the day before, too
    summary = daily.run()
    assert (summary.rows, summary.parts_skipped, summary.parts_done) == (100, there, 6 - there)
    daily.check()

    daily.arrives("11-19")  # started twice
    both = [daily.start(), daily.start()]
    assert [daily.finish(each)[0] for each in both] == [0, 0]
    daily.check()

    daily.arrives("11-21")  # the day before comes late
    assert daily.run().rows == 50
    daily.arrives("11-20")
    assert daily.run().rows == 50
    daily.check()

    summary = daily.run()  # a day without tasks
    assert (summary.exit_code, summary.parts_done, summary.parts_skipped) == (0, 0, 3)
    daily.check()
    assert len(daily.rows) == 300


QUICK = ("unsealed", "part.published", "sealed")
"""The others are in the test of every point below."""

TIMES = ("put@5", "replace.begun@3")


def crash_and_go_on(daily: Daily, point: str) -> int:
    """End a run there, which adds to another's output; see what a reader sees, and go on the next day."""
    daily.arrives("1")
    daily.run()
    daily.arrives("2")
    code, _ = daily.finish(daily.start(JAXBATCH_CRASH_AT=point))
    if (daily.output / "_SUCCESS").exists():
        assert len(daily.computed()) in (50, 100)
        assert len(list((daily.output / "data").iterdir())) in (3, 6)
    daily.arrives("3")
    assert daily.run().exit_code == 0
    daily.check()
    return code


@pytest.mark.parametrize("point", [*QUICK, *(pytest.param(each, marks=pytest.mark.faults) for each in TIMES)])
def test_a_crash_anywhere_loses_and_doubles_nothing(point, daily):
    assert crash_and_go_on(daily, point) == -signal.SIGKILL


@pytest.mark.faults
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("point", failpoints.POINTS)
def test_a_crash_at_every_point_loses_and_doubles_nothing(point, times, daily):
    assert crash_and_go_on(daily, f"{point}@{times}") in (-signal.SIGKILL, 0)  # 0 where it is not passed so often
