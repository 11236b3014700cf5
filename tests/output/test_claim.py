"""The output folder: what is this run's is taken, what is another's is refused and left alone."""

import pytest

from jaxbatch.output.paths import SINGLE_RUN
from jaxbatch.output.publish import publish
from jaxbatch.output.records import ClaimRecord
from jaxbatch.storage import LocalStore
from tests.output.helpers import IDENTITY, OTHER, OURS, an_output, claimed, encoded, files, finished, refusal


def test_a_folder_of_this_run_is_taken(tmp_path):
    output = an_output(tmp_path / "new")
    output.claim.check(IDENTITY)
    output.claim.write(ClaimRecord(fingerprint=OURS, identity=IDENTITY))
    output.claim.write(ClaimRecord(fingerprint=OURS, identity=IDENTITY))
    publish(output.store, *encoded(0))
    output.claim.check(IDENTITY)


@pytest.mark.parametrize("name", ["notes.txt", "data/part-1.parquet", "data/x.parquet", "_jaxbatch.txt", "sub/a/b"])
def test_a_folder_with_other_things_is_refused(tmp_path, name):
    finished(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a person's own")
    before = files(tmp_path)
    assert name in refusal(an_output(tmp_path).claim.check, IDENTITY)
    assert name in refusal(an_output(tmp_path, OTHER).claim.restart)
    assert files(tmp_path) == before


def test_a_folder_of_another_run_is_refused_with_the_difference(tmp_path):
    finished(tmp_path)
    now = {
        "kernel": "taylor",
        "params": {"order": 3},
        "input": {"files": [{"name": "a.parquet", "size": 2}, {"name": "b.parquet", "size": 1}]},
    }
    output = an_output(tmp_path, OTHER)
    for message in (
        refusal(output.claim.check, now),
        refusal(output.claim.write, ClaimRecord(fingerprint=OTHER, identity=now)),
    ):
        assert "params.order was 2, is 3" in message
        assert "a.parquet changed" in message
        assert "b.parquet is new" in message
        assert "kernel" not in message
        assert "--restart" in message
        assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"fingerprint": 1}'])
def test_a_damaged_plan_is_refused(tmp_path, content):
    finished(tmp_path)
    (tmp_path / SINGLE_RUN.plan).write_text(content)
    assert "--restart" in refusal(an_output(tmp_path).claim.check, IDENTITY)


def test_a_claim_is_taken_back_only_while_nothing_is_there(tmp_path):
    output = claimed(tmp_path)
    publish(output.store, *encoded(0))
    output.claim.withdraw()
    assert (tmp_path / SINGLE_RUN.plan).exists()
    (tmp_path / encoded(0)[1].name).unlink()
    output.claim.withdraw()
    assert not (tmp_path / SINGLE_RUN.plan).exists()


def test_parts_without_a_plan_must_be_this_runs(tmp_path):
    publish(LocalStore(tmp_path), *encoded(0))
    an_output(tmp_path).claim.check(IDENTITY)
    assert "parts of another run" in refusal(an_output(tmp_path, OTHER).claim.check, IDENTITY)


def test_restart_removes_what_jaxbatch_wrote(tmp_path):
    finished(tmp_path)
    publish(LocalStore(tmp_path), *encoded(0, fingerprint=OTHER))
    output = an_output(tmp_path, OTHER)
    output.claim.restart()
    assert files(tmp_path) == {}
    output.claim.check(IDENTITY)
