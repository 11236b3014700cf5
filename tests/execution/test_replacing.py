"""Outputs that are replaced: they hold the latest run, and what is not ours is left alone."""

import signal

from jaxbatch.errors import OutputError
from tests.daily import DAILY, refusal


def test_replacing_makes_all_anew_where_something_differs(daily):
    replace = 'output.mode="replace"'
    daily.arrives("1")
    assert daily.run(replace).parts_done == 3
    before = daily.parts()
    assert daily.run(replace).parts_skipped == 3
    assert daily.parts() == before
    daily.arrives("2")
    assert daily.plan(replace)["rows_skipped"] == 0
    assert daily.run(replace).parts_done == 6
    assert not before.items() & daily.parts().items()
    daily.check()
    assert daily.run("output.rows_per_part=1000", replace).parts_done == 1
    daily.check()


def test_replacing_finishes_what_it_began(daily):
    daily.text(DAILY.replace("append", "replace"))
    daily.arrives("1")
    assert daily.finish(daily.start(JAXBATCH_CRASH_AT="part.published@2"))[0] == -signal.SIGKILL
    written = len(daily.parts())
    assert written in (2, 3)  # another part may have been on its way
    assert daily.run().parts_skipped == written
    daily.check()


def test_replacing_leaves_alone_what_is_not_ours(daily):
    daily.arrives("1")
    daily.run()
    (daily.output / "notes.txt").write_text("mine")
    assert "notes.txt" in refusal(OutputError, daily.run, 'output.mode="replace"')
    (daily.output / "notes.txt").unlink()
    daily.check()
    assert daily.run('output.mode="replace"').parts_done == 3
    daily.check()
