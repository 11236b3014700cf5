"""What the footers of the input say, and which files are refused for it."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from jaxbatch.input.file_checks import check_files, open_input
from tests.input.refusals import refusal


def test_row_groups_and_digests_are_those_of_the_footers(job, bench):
    bench.tasks({"a": range(7)}, "tasks/a.parquet", row_group_size=3)
    bench.tasks({"a": range(1, 8)}, "tasks/b.parquet", row_group_size=3)
    bench.tasks({"a": range(7)}, "tasks/c.parquet", row_group_size=3)
    a, b, c = open_input(job()).files
    assert a.row_groups == b.row_groups == c.row_groups == (3, 3, 1)
    assert a.size == Path(a.path).stat().st_size
    assert a.footer_digest == c.footer_digest != b.footer_digest


def test_hive_keys_are_columns(job):
    opened = open_input(
        job(
            "tasks", "tasks/day=10/place=a%2Fb%20c/x.parquet", "tasks/day=-9/place=__HIVE_DEFAULT_PARTITION__/y.parquet"
        )
    )
    assert [dict(file.keys) for file in opened.files] == [{"day": -9, "place": None}, {"day": 10, "place": "a/b c"}]
    assert opened.schema == pa.schema([("a", pa.float64()), ("day", pa.int64()), ("place", pa.string())])


@pytest.mark.parametrize(
    "values",
    [("1", "x"), ("01", "2"), ("1.5", "2"), ("99999999999999999999", "1"), ("-0", "0"), ("12", "1\uff12")],
    ids=ascii,
)
def test_hive_keys_that_are_not_all_integers_are_strings(job, values):
    opened = open_input(job("tasks", *(f"tasks/k={value}/x.parquet" for value in values)))
    assert opened.schema.field("k").type == pa.string()
    assert {dict(file.keys)["k"] for file in opened.files} == set(values)


def test_hive_keys_must_be_the_same_and_clash_with_nothing(job):
    assert "same key=value folders" in refusal(open_input, job("x", "x/k=1/a.parquet", "x/b.parquet"))
    assert "both in the file and in its path" in refusal(open_input, job("y", "y/a=1/x.parquet"))
    assert "same key twice" in refusal(open_input, job("z", "z/k=1/k=2/x.parquet"))


@pytest.fixture
def damaged(bench):
    """Files in ``tasks`` of which only ``e.parquet`` is whole: the names of the others."""
    whole = bench.tasks({"a": [1.0, 2.0]}, "tasks/e.parquet").read_bytes()
    contents = {
        "a": b"",
        "b": b"PAR1",
        "c": bytes(range(256)) * 8,
        "d": whole[:-5],
        "f": whole[:-8] + b"\xff\xff\xff\x7fPAR1",
        "g": whole[: len(whole) // 2] + b"\0" * 20 + whole[-8:],
    }
    for name, content in contents.items():
        (bench.folder / "tasks" / f"{name}.parquet").write_bytes(content)
    (bench.folder / "tasks" / "h.parquet").symlink_to("absent.parquet")
    return [f"tasks/{name}.parquet" for name in [*contents, "h"]]


def test_every_unreadable_file_is_named(job, damaged):
    stop = job()
    message = refusal(check_files, open_input(stop), [], stop)
    assert f"{len(damaged)} input files" in message
    assert all(name in message for name in damaged)
    assert "e.parquet" not in message


def test_unreadable_files_are_skipped_on_request(job, damaged):
    opened = open_input(job(on_bad_file="skip"))
    assert [file.name for file in opened.files] == ["e.parquet"]
    assert [os.path.join("tasks", os.path.basename(file.path)) for file in opened.skipped] == damaged
    assert all(file.reason for file in opened.skipped)


def test_nothing_left_after_skipping(job, bench):
    bench.file("empty.parquet", "")
    assert "empty.parquet" in refusal(open_input, job("empty.parquet", on_bad_file="skip"))


def test_files_whose_columns_do_not_fit(job, bench):
    bench.tasks({"a": [1.0], "b": [1]}, "tasks/1.parquet")
    bench.tasks({"b": [1]}, "tasks/2.parquet")
    bench.tasks({"a": [1], "b": [1]}, "tasks/3.parquet")
    bench.tasks({"b": ["unused"], "a": [2.0]}, "tasks/4.parquet")
    stop, skip = job(), job(on_bad_file="skip")
    message = refusal(check_files, open_input(stop), ["a"], stop)
    assert "2.parquet: it has no column 'a'" in message
    assert "3.parquet: column 'a' is int64, in other files double" in message
    assert "4.parquet" not in message
    checked = check_files(open_input(skip), ["a"], skip)
    assert [file.name for file in checked.files] == ["1.parquet", "4.parquet"]
    assert [os.path.basename(file.path) for file in checked.skipped] == ["2.parquet", "3.parquet"]


def test_dictionaries_are_a_matter_of_storage(job, bench):
    texts = pa.array(["x", "y"])
    bench.tasks({"a": texts}, "tasks/1.parquet")
    bench.tasks({"a": texts.dictionary_encode()}, "tasks/2.parquet")
    opened = open_input(job())
    assert check_files(opened, ["a"], job()).files == opened.files


def test_duplicate_columns_are_refused(job, bench):
    bench.tasks(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert "the column 'a' twice" in refusal(open_input, job("tasks.parquet"))


def unregistered(inner: pa.DataType) -> pa.Field:
    return pa.field("a", inner, metadata={"ARROW:extension:name": "nobody.knows", "ARROW:extension:metadata": ""})


UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef"], pa.binary(16)))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": UUIDS}),
        pa.table({"a": pa.ListArray.from_arrays([0, 1], UUIDS)}),
        pa.table({"a": pa.StructArray.from_arrays([UUIDS], names=["inner"])}),
        pa.table([pa.array([1.0])], schema=pa.schema([unregistered(pa.float64())])),
    ],
    ids=["registered", "in a list", "in a struct", "unregistered"],
)
def test_extension_types_are_refused(job, bench, table):
    bench.tasks(table)
    assert "column 'a' has an extension type" in refusal(open_input, job("tasks.parquet"))


def test_the_odd_file_out_is_left_out_even_if_it_is_the_first(job, bench):
    bench.tasks({"a": ["text"]}, "tasks/1.parquet")
    bench.tasks({"a": [1.0]}, "tasks/2.parquet")
    bench.tasks({"a": [2.0]}, "tasks/3.parquet")
    skip = job(on_bad_file="skip")
    checked = check_files(open_input(skip), ["a"], skip)
    assert [file.name for file in checked.files] == ["2.parquet", "3.parquet"]


def test_a_footer_that_contradicts_itself_is_refused(job, bench):
    file = bench.tasks({"a": [1.0] * 5000}, "tasks/a.parquet")
    data = file.read_bytes()
    at = data.rindex(b"\x90\x4e")  # 5000 as Thrift writes it; the row group's count comes last
    file.write_bytes(data[:at] + b"\x92" + data[at + 1 :])
    assert "its footer counts 5000 rows, and in its row groups 5001" in refusal(open_input, job("tasks"))
