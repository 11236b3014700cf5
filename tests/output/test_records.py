"""plan.json and manifest.json keep their bytes, are read although a newer version wrote them, and say when they are
damaged."""

import json

import pytest

from jaxbatch.errors import OutputError
from jaxbatch.execution import single_run
from jaxbatch.output.paths import SINGLE_RUN, RunPaths
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord, DamagedRecord, ForgottenRun, Manifest
from jaxbatch.planning import planner
from jaxbatch.storage import LocalStore
from tests.output.helpers import IDENTITY, OURS, encoded, finished

CLAIM = {
    "jaxbatch": "1.2",
    "fingerprint": OURS,
    "job": {"name": "größe", "params": {"rate": float("inf"), "order": 2}},
    "output": "/results",
    "paths_from": "/job",
    "rows": 6,
    "shards": 2,
    "parts": 2,
    "partials": 0,
    "files": 1,
    "skipped_files": [{"path": "b.parquet", "reason": "it is empty"}],
    "arguments": {"x": "the column 'x'"},
    "limits": {"id": [-(2**53), 2**53]},
    "columns": {"id": "int64", "value": "double"},
    "programs": [{"width": 8}],
    "rungs": {},
    "identity": IDENTITY,
    "types": {"id": "int64"},
    "ledger": [("a.parquet", "17")],
    "seen_again": {},
    "layout": [{"row_groups": [["a.parquet", 0, 6]], "parts": [[0, 0, 3], [1, 3, 3]]}],
}


def as_ever(values: object) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()


def test_a_claim_is_written_key_by_key_in_the_order_of_ever():
    assert ClaimRecord.model_validate(CLAIM).to_json() == as_ever(CLAIM)
    shuffled = ClaimRecord.model_validate(dict(reversed(CLAIM.items())))
    assert shuffled.to_json() == as_ever(CLAIM)


def test_all_that_a_plan_says_of_itself_is_written(bench):
    bench.tasks({"id": [1, 2], "x": [0.5, 0.25]})
    planned = planner.plan(bench.job('kernel = "derivatives"\nparams = { function = "jax.numpy:sin" }\n'))
    written = as_ever({**planned.describe(), "layout": planned.layout()})
    assert single_run.claim_record(planned).to_json() == written


def test_what_a_claim_does_not_give_is_not_written():
    given = {name: CLAIM[name] for name in ("jaxbatch", "fingerprint", "identity", "layout")}
    assert ClaimRecord.model_validate(given).to_json() == as_ever(given)


def test_a_manifest_is_written_as_ever():
    receipt = Receipt(0, "data/part-0000000-01234567.parquet", 3, 100, "d1", "f0", OURS, {"ok": 2, "nonfinite": 1})
    skipped = [{"path": "b.parquet", "reason": "it is empty"}]
    manifest = Manifest(fingerprint=OURS, rows=3, skipped_files=skipped, parts=[receipt])
    part = {"part": 0, "name": receipt.name, "rows": 3, "bytes": 100, "digest": "d1", "footer": "f0"}
    part["statuses"] = {"ok": 2, "nonfinite": 1}
    values = {"fingerprint": OURS, "rows": 3, "skipped_files": skipped, "parts": [part]}
    assert manifest.to_json() == as_ever(values)


def test_records_are_read_as_they_were_written(tmp_path):
    output = finished(tmp_path)
    assert ClaimRecord.read(output.store, SINGLE_RUN).identity == IDENTITY
    assert Manifest.read(output.store, SINGLE_RUN).parts == [encoded(part)[1] for part in range(2)]


def test_keys_of_newer_versions_are_passed_over(tmp_path):
    store = finished(tmp_path).store
    for paths in (SINGLE_RUN.plan, SINGLE_RUN.manifest):
        store.replace(paths, as_ever({"from_the_future": 1, **json.loads(store.read(paths))}))
    assert ClaimRecord.read(store, SINGLE_RUN).fingerprint == OURS
    assert Manifest.read(store, SINGLE_RUN).rows == 6


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"7", b"\xff", b'{"fingerprint": 1}'])
def test_a_damaged_record_is_named_with_a_remedy(tmp_path, content):
    store = LocalStore(tmp_path)
    for record, name in ((ClaimRecord, SINGLE_RUN.plan), (Manifest, SINGLE_RUN.manifest)):
        store.replace(name, content)
        with pytest.raises(DamagedRecord) as caught:
            record.read(store, SINGLE_RUN)
        assert isinstance(caught.value, OutputError)
        assert f"{tmp_path}/{name} is damaged." == caught.value.what
        assert caught.value.remedy


@pytest.mark.parametrize("damage", [{"rows": "3"}, {"bytes": None}, {"statuses": []}, {"more": 1}])
def test_a_manifest_with_a_damaged_part_is_damaged(tmp_path, damage):
    store = finished(tmp_path).store
    values = json.loads(store.read(SINGLE_RUN.manifest))
    values["parts"][1] |= damage
    store.replace(SINGLE_RUN.manifest, as_ever(values))
    with pytest.raises(DamagedRecord):
        Manifest.read(store, SINGLE_RUN)


def test_what_is_not_there_is_not_damaged_and_a_forgotten_run_neither(tmp_path):
    store, paths = LocalStore(tmp_path), RunPaths(3)
    for record in (ClaimRecord, Manifest):
        with pytest.raises(FileNotFoundError):
            record.read(store, paths)
    store.replace(paths.plan, b'{\n "forgotten": true\n}\n')
    with pytest.raises(ForgottenRun, match="run 3 was dropped"):
        ClaimRecord.read(store, paths)


@pytest.mark.parametrize("name", ["jaxbatch", "rows", "limits", "rungs", "programs", "columns", "arguments", "layout"])
def test_what_people_read_of_a_claim_may_be_of_any_type(tmp_path, name):
    store, paths = LocalStore(tmp_path), RunPaths(1)
    for value in (None, [1], "text", {"a": 1}):
        store.replace(paths.plan, json.dumps({"fingerprint": "ab", "identity": {}, name: value}).encode())
        claim = ClaimRecord.read(store, paths)
        assert (claim.fingerprint, getattr(claim, name)) == ("ab", value)


def test_the_names_of_parts_are_read_without_receipts(tmp_path):
    store, paths = LocalStore(tmp_path), RunPaths(1)
    store.replace(paths.manifest, b'{"parts": [{"name": "data/a"}, {"name": "data/b"}]}')
    assert Manifest.read_names(store, paths) == {"data/a", "data/b"}
    for damaged in (b"{", b"{}", b"[]", b'{"parts": [1]}', b'{"parts": [{}]}'):
        store.replace(paths.manifest, damaged)
        with pytest.raises(DamagedRecord):
            Manifest.read_names(store, paths)
