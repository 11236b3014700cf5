"""The output folder: what is missing or damaged is found, what is another's is refused and left alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.errors import ExitCode, InputError, OutputError
from jaxbatch.output import part_file
from jaxbatch.output.catalog import Expected
from jaxbatch.output.claim import Output, publish
from jaxbatch.output.part_file import Receipt
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS
from jaxbatch.output.verification import verify
from jaxbatch.storage import LocalStore, StorageOptions, open_store

OURS, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
IDENTITY = {"kernel": "taylor", "params": {"order": 2}, "input": {"files": [{"name": "a.parquet", "size": 1}]}}


def encoded(index: int, rows: int = 3, fingerprint: str = OURS) -> tuple[memoryview, Receipt]:
    table = pa.table({"id": range(rows), "value": [index + row / 8 for row in range(rows)]})
    return part_file.encode(table, part=index, fingerprint=fingerprint, compression="snappy", statuses={"ok": rows})


def an_output(folder: Path, fingerprint: str = OURS, rows: tuple[int, ...] = (3, 3)) -> Output:
    """An output that nobody has claimed yet."""
    return Output(LocalStore(folder), fingerprint, [Expected(part, count) for part, count in enumerate(rows)])


def claimed(folder: Path) -> Output:
    output = an_output(folder)
    output.claim({"fingerprint": OURS, "identity": IDENTITY})
    return output


def finished(folder: Path) -> Output:
    """A sealed output of two parts."""
    output = an_output(folder)
    output.claim({"fingerprint": OURS, "identity": IDENTITY})
    for index in range(2):
        publish(output.store, *encoded(index))
    output.seal([])
    return output


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(call, *arguments) -> str:
    with pytest.raises(OutputError) as caught:
        call(*arguments)
    assert caught.value.exit_code == ExitCode.OUTPUT == 5
    return str(caught.value)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sealed output that its tests leave as it was."""
    folder = tmp_path_factory.mktemp("sealed")
    finished(folder)
    before = files(folder)
    yield folder
    assert files(folder) == before


def test_nothing_to_say_of_a_whole_output(sealed):
    assert verify(str(sealed)) == []


@settings(deadline=None)
@given(position=st.integers(0, len(encoded(0)[0]) - 1), change=st.integers(1, 255), part=st.integers(0, 1))
def test_every_altered_byte_is_found(sealed, position, change, part):
    path = sealed / encoded(part)[1].name
    data = bytearray(whole := path.read_bytes())
    data[position] ^= change
    path.write_bytes(data)
    try:
        assert [path.name in problem for problem in verify(str(sealed))] == [True]
    finally:
        path.write_bytes(whole)


def test_verify_names_what_is_missing_or_more(tmp_path):
    finished(tmp_path)
    first, second = sorted((tmp_path / "data").iterdir())
    second.write_bytes(second.read_bytes()[:-1])
    first.unlink()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / SUCCESS).unlink()
    problems = verify(str(tmp_path))
    assert len(problems) == 4
    for said in (f"{first.name} is missing", f"{second.name} has", "notes.txt is not", "_SUCCESS is missing"):
        assert any(said in problem for problem in problems), said
    (tmp_path / SINGLE_RUN.manifest).unlink()
    assert "not finished" in verify(str(tmp_path))[0]


def test_verify_needs_an_output(tmp_path):
    with pytest.raises(InputError, match="is not an output"):
        verify(str(tmp_path))


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
    assert "part 0" in refusal(output.seal, [])
    assert not output.sealed
    assert not (tmp_path / SINGLE_RUN.manifest).exists()


def test_a_late_run_cannot_seal_a_folder_that_another_has_taken(tmp_path):
    late = claimed(tmp_path)
    late.restart()
    owner = an_output(tmp_path, OTHER)
    owner.claim({"fingerprint": OTHER, "identity": {}})
    for index in range(2):
        publish(owner.store, *encoded(index, fingerprint=OTHER))
    owner.seal([])
    for index in range(2):
        publish(late.store, *encoded(index))
    assert "taken over by another run" in refusal(late.seal, [])
    assert not owner.sealed, "the late parts are still there"
    owner.seal([])
    assert owner.sealed


def test_sealing_removes_late_parts_and_leftovers_only(tmp_path):
    output = claimed(tmp_path)
    for index in range(2):
        publish(output.store, *encoded(index))
    late_data, late = encoded(0, fingerprint=OTHER)
    publish(output.store, late_data, late)
    left = tmp_path / "_jaxbatch/tmp/left"
    left.write_bytes(b"half a par")
    (tmp_path / "data/notes.txt").write_text("a person's own")
    output.seal([])
    assert output.sealed
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
        part_file.part_name(1, OURS): encoded(1)[0][:-3],
        part_file.part_name(2, OURS): encoded(2, rows=2)[0],
        part_file.part_name(3, OURS): encoded(0)[0],
        part_file.part_name(1, OTHER): encoded(1, fingerprint=OTHER)[0],
    }
    for name, data in there.items():
        (tmp_path / name).write_bytes(data)
    assert output.data.published() == {0: receipt}
    output.data.drop_damaged()
    assert set(files(tmp_path)) == {receipt.name, part_file.part_name(1, OTHER)}


def test_a_folder_of_this_run_is_taken(tmp_path):
    output = an_output(tmp_path / "new")
    output.check(IDENTITY)
    output.claim({"fingerprint": OURS, "identity": IDENTITY})
    output.claim({"fingerprint": OURS, "identity": IDENTITY})
    publish(output.store, *encoded(0))
    output.check(IDENTITY)


@pytest.mark.parametrize("name", ["notes.txt", "data/part-1.parquet", "data/x.parquet", "_jaxbatch.txt", "sub/a/b"])
def test_a_folder_with_other_things_is_refused(tmp_path, name):
    finished(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a person's own")
    before = files(tmp_path)
    assert name in refusal(an_output(tmp_path).check, IDENTITY)
    assert name in refusal(an_output(tmp_path, OTHER).restart)
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
        refusal(output.check, now),
        refusal(output.claim, {"fingerprint": OTHER, "identity": now}),
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
    assert "--restart" in refusal(an_output(tmp_path).check, IDENTITY)


def test_a_claim_is_taken_back_only_while_nothing_is_there(tmp_path):
    output = claimed(tmp_path)
    publish(output.store, *encoded(0))
    output.disclaim()
    assert (tmp_path / SINGLE_RUN.plan).exists()
    (tmp_path / encoded(0)[1].name).unlink()
    output.disclaim()
    assert not (tmp_path / SINGLE_RUN.plan).exists()


def test_parts_without_a_plan_must_be_this_runs(tmp_path):
    publish(LocalStore(tmp_path), *encoded(0))
    an_output(tmp_path).check(IDENTITY)
    assert "parts of another run" in refusal(an_output(tmp_path, OTHER).check, IDENTITY)


def test_restart_removes_what_jaxbatch_wrote(tmp_path):
    finished(tmp_path)
    publish(LocalStore(tmp_path), *encoded(0, fingerprint=OTHER))
    output = an_output(tmp_path, OTHER)
    output.restart()
    assert files(tmp_path) == {}
    output.check(IDENTITY)


def test_errors_are_recorded_and_withdrawn(tmp_path):
    output = an_output(tmp_path)
    errors = [{"part": 3, "reason": "a\nb"}, {"file": "x"}]
    output.record_errors(errors)
    lines = (tmp_path / "_jaxbatch/errors.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == errors
    output.record_errors([])
    assert files(tmp_path) == {}


def test_an_output_must_be_able_to_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(open_store, str(tmp_path / "file" / "results"), StorageOptions())
