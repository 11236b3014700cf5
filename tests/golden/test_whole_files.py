"""Same job, same files as on the day of recording, names and footers included: for as long as no function of the
package is renamed that a trace shows, which gives a run another fingerprint."""

import pytest

pytestmark = pytest.mark.timeout(600)


def test_whole_files_are_those_that_were_recorded(engine, job, computed, recorded):
    assert computed["files"][job] == recorded["files"][job], f"{job} on {engine}"
