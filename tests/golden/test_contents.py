"""Same job, same contents as on the day of recording: columns to the last bit, schema, statuses, pages."""

import pytest

pytestmark = pytest.mark.timeout(600)  # whoever comes first runs the jobs


def test_the_contents_are_those_that_were_recorded(engine, job, computed, recorded):
    was, now = recorded["contents"][job], computed[job]
    assert [part["part"] for part in now] == [part["part"] for part in was]
    for before, after in zip(was, now, strict=True):
        columns = after["columns"].items() ^ before["columns"].items()
        assert not {name for name, _ in columns}, f"{job} on {engine}, {before['part']}: columns that differ"
        assert after == before, f"{job} on {engine}, {before['part']}"
