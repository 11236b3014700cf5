"""An output is sealed when all of its parts are there, and then holds nothing else."""

import json

import pyarrow.parquet as pq

from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, part_name
from jaxbatch.output.publish import publish
from jaxbatch.output.records import ClaimRecord
from tests.output.helpers import OTHER, OURS, an_output, claimed, encoded, files, finished, refusal


def test_the_manifest_says_what_is_there(tmp_path):
    finished(tmp_path)
    manifest = json.loads((tmp_path / SINGLE_RUN.manifest).read_text())
    assert (manifest["fingerprint"], manifest["rows"], manifest["skipped_files"]) == (OURS, 6, [])
    for index, part in enumerate(manifest["parts"]):
        data = (tmp_path / part["name"]).read_bytes()
        assert part["name"] == f"data/part-{index:07d}-01234567.parquet"
        assert (part["part"], part["rows"], part["bytes"]) == (index, 3, len(data))
        assert pq.read_table(tmp_path / part["name"]).num_rows == 3
    assert set(files(tmp_path)) == {
        SINGLE_RUN.plan,
        SINGLE_RUN.manifest,
        SUCCESS,
        *(part["name"] for part in manifest["parts"]),
    }


def test_sealing_needs_every_part(tmp_path):
    output = claimed(tmp_path)
    publish(output.store, *encoded(1))
    assert "part 0" in refusal(output.seal.write, [])
    assert not output.seal.is_valid()
    assert not (tmp_path / SINGLE_RUN.manifest).exists()


def test_a_late_run_cannot_seal_a_folder_that_another_has_taken(tmp_path):
    late = claimed(tmp_path)
    late.claim.restart()
    owner = an_output(tmp_path, OTHER)
    owner.claim.write(ClaimRecord(fingerprint=OTHER, identity={}))
    for index in range(2):
        publish(owner.store, *encoded(index, fingerprint=OTHER))
    owner.seal.write([])
    for index in range(2):
        publish(late.store, *encoded(index))
    assert "taken over by another run" in refusal(late.seal.write, [])
    assert not owner.seal.is_valid(), "the late parts are still there"
    owner.seal.write([])
    assert owner.seal.is_valid()


def test_sealing_removes_late_parts_and_leftovers_only(tmp_path):
    output = claimed(tmp_path)
    for index in range(2):
        publish(output.store, *encoded(index))
    late_data, late = encoded(0, fingerprint=OTHER)
    publish(output.store, late_data, late)
    left = tmp_path / "_jaxbatch/tmp/left"
    left.write_bytes(b"half a par")
    (tmp_path / "data/notes.txt").write_text("a person's own")
    output.seal.write([])
    assert output.seal.is_valid()
    assert {name for name in files(tmp_path) if name.startswith("data/")} == {
        encoded(0)[1].name,
        encoded(1)[1].name,
        "data/notes.txt",
    }
    assert not (tmp_path / "_jaxbatch/tmp/left").exists()


def test_only_whole_parts_of_this_run_count(tmp_path):
    output = an_output(tmp_path, rows=(3, 3, 3, 3))
    (tmp_path / "data").mkdir()
    good, receipt = encoded(0)
    there = {
        receipt.name: good,
        part_name(1, OURS): encoded(1)[0][:-3],
        part_name(2, OURS): encoded(2, rows=2)[0],
        part_name(3, OURS): encoded(0)[0],
        part_name(1, OTHER): encoded(1, fingerprint=OTHER)[0],
    }
    for name, data in there.items():
        (tmp_path / name).write_bytes(data)
    assert output.data.published() == {0: receipt}
    output.data.drop_damaged()
    assert set(files(tmp_path)) == {receipt.name, part_name(1, OTHER)}
