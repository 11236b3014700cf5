"""Files that cannot be read, do not fit, are not there, or are there twice."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bad_inputs.conftest import JOB

GOOD = [1.0, 2.0, 3.0]
SKIP = "input.on_bad_file='skip'"


def good_file(bench, name="tasks/good.parquet", x=GOOD):
    return bench.tasks({"x": x}, name)


def xs(bench, *overrides, **options):
    """The input column of all rows that come out of a run that ends well."""
    summary = bench.run(JOB, *overrides, **options)
    assert summary.exit_code == 0
    return bench.output(summary)["x"].to_pylist()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-100], "not readable as Parquet"),
        (lambda data: data[: len(data) // 2], "not readable as Parquet"),
        (lambda _: bytes(range(256)) * 20, "not readable as Parquet"),
        (lambda data: b"\0" * len(data), "not readable as Parquet"),
        (lambda _: b"x,y\n1,2\n3,4\n5,6\n", "not readable as Parquet"),
        (lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1", "not readable as Parquet"),
        (lambda _: b"", "it holds 0 bytes"),
        (lambda _: b"PAR1", "it holds 4 bytes"),
    ],
    ids=["cut at the end", "halved", "garbage", "zeros", "CSV", "footer's length", "empty", "a stub"],
)
def test_unreadable_file(bench, refusal, damage, said):
    good_file(bench)
    bad = good_file(bench, "tasks/bad.parquet")
    bad.write_bytes(damage(bad.read_bytes()))
    message = refusal()
    assert str(bad) in message
    assert said in message
    assert 'on_bad_file = "skip"' in message
    assert xs(bench, SKIP) == GOOD
    (skipped,) = json.loads((bench.folder / "results/_jaxbatch/manifest.json").read_text())["skipped_files"]
    assert skipped["path"] == str(bad)
    assert said in skipped["reason"]


def three_row_groups(bench, compression, **options):
    """A file of rows 0 … 2999 in three row groups, and a way to flip a byte of the second one's page, at a fraction."""
    rng = np.random.default_rng(5)
    columns = {"x": np.sort(rng.normal(size=3000)), "id": np.arange(3000)}
    path = bench.tasks(columns, "tasks/a.parquet", row_group_size=1000, use_dictionary=False, compression=compression,
                       **options)  # fmt: skip
    whole = path.read_bytes()
    chunk = pq.read_metadata(path).row_group(1).column(0)

    def flip(fraction):
        data = bytearray(whole)
        data[chunk.data_page_offset + int(chunk.total_compressed_size * fraction)] ^= 0x40
        path.write_bytes(data)

    return flip


PART = "output.rows_per_part=1000"
OTHERS = [*range(1000), *range(2000, 3000)]


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip", "lz4"])
def test_flipped_byte_under_a_checksum(bench, compression):
    flip = three_row_groups(bench, compression, write_page_checksum=True)
    for fraction in (0.5, 0.99):
        flip(fraction)
        summary = bench.run(JOB, PART, restart=True)
        assert (summary.exit_code, summary.parts_done, summary.parts_failed) == (1, 2, 1)
        (failure,) = summary.failures
        assert failure.startswith("part 1: ")
        assert "tasks/a.parquet, row group 1: cannot be read" in failure
        assert "CRC" in failure
        assert bench.output(summary)["id"].to_pylist() == OTHERS
        assert not (bench.folder / "results/_SUCCESS").exists()


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip", "lz4"])
def test_flipped_byte_without_a_checksum(bench, compression):
    """Nobody can tell a wrong number from a right one. What is promised: the process lives, a page that does not even
    decompress is told of, as many rows come out as went in, and nothing outside the page is touched."""
    flip = three_row_groups(bench, compression)
    found = set()
    for fraction in (0.02, 0.3, 0.6, 0.9, 0.995):
        flip(fraction)
        summary = bench.run(JOB, PART, restart=True)
        ids = bench.output(summary)["id"].to_pylist()
        assert (summary.exit_code, ids) in [(0, list(range(3000))), (1, OTHERS)]
        if summary.exit_code:
            assert "row group 1: cannot be read" in summary.failures[0]
        found.add(summary.exit_code)
    if compression == "none":
        assert 0 in found
    if compression == "gzip":  # which brings a checksum of its own
        assert 1 in found


def test_missing_column(bench, refusal):
    good_file(bench, "tasks/1.parquet")
    good_file(bench, "tasks/2.parquet")
    bench.tasks({"y": [4.0]}, "tasks/3.parquet")
    assert "tasks/3.parquet: it has no column 'x'" in refusal()
    assert xs(bench, SKIP) == [*GOOD, *GOOD]


def test_extra_column(bench):
    good_file(bench, "tasks/1.parquet")
    bench.tasks({"more": ["a"], "x": [9.0]}, "tasks/2.parquet")
    good_file(bench, "tasks/3.parquet")
    assert xs(bench) == [*GOOD, 9.0, *GOOD]


def test_column_that_half_of_the_files_have(bench, refusal):
    bench.tasks({"more": ["a"], "x": [9.0]}, "tasks/1.parquet")
    good_file(bench, "tasks/2.parquet")
    assert "tasks/2.parquet: it has no column 'more'" in refusal()
    assert xs(bench, 'input.keep=["x"]') == [9.0, *GOOD]


@pytest.mark.parametrize(
    ("other", "kind"),
    [(["1.0"], "string"), ([1], "int64"), (pa.array([1.0], pa.float32()), "float"), ([True], "bool")],
    ids=["text", "integer", "float32", "truth"],
)
def test_types_differ_between_files(bench, refusal, other, kind):
    good_file(bench, "tasks/1.parquet")
    good_file(bench, "tasks/2.parquet")
    bench.tasks({"x": other}, "tasks/3.parquet")
    assert f"tasks/3.parquet: column 'x' is {kind}, in other files double" in refusal()
    assert xs(bench, SKIP) == [*GOOD, *GOOD]


def test_duplicate_column_names(bench, refusal):
    good_file(bench)
    bench.tasks(pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"]), "tasks/twice.parquet")
    message = refusal()
    assert "tasks/twice.parquet: it has the column 'x' twice" in message
    assert xs(bench, SKIP) == GOOD


@pytest.mark.parametrize("row_groups", [0, 1])
def test_zero_rows(bench, row_groups):
    schema = pa.schema({"x": pa.float64(), "name": pa.string()})
    (bench.folder / "tasks").mkdir()
    with pq.ParquetWriter(bench.folder / "tasks/a.parquet", schema) as writer:
        for _ in range(row_groups):
            writer.write_table(schema.empty_table())
    summary = bench.run(JOB)
    assert (summary.exit_code, summary.rows, summary.parts) == (0, 0, 1)
    assert bench.output(summary).schema.names == ["x", "name", "value", "d1", "status"]


@pytest.mark.parametrize("path", ["tasks", "nowhere", "nowhere/*.parquet", "tasks/**/*.parquet", "a.parquet"])
def test_no_files(bench, refusal, path):
    (bench.folder / "tasks/deeper").mkdir(parents=True)
    message = refusal(f"input.path='{path}'")
    assert "[input] path: " in message
    assert path.split("*")[0] in message


def test_no_files_on_the_command_line(bench, jaxbatch):
    bench.file("job.toml", JOB)
    (bench.folder / "tasks").mkdir()
    ended = jaxbatch("run", "job.toml", "--engine", "local")
    assert ended.returncode == 4
    assert ended.stderr.splitlines()[0] == "Error: [input] path: no Parquet file matches tasks."
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "path", ["tasks", "tasks/**/*.parquet", "tasks/**", "tasks/*", "tasks/*/*.parquet", "t*/**/a*"]
)
def test_links_that_lead_in_circles(bench, path):
    """Two links are enough: 40 levels, as deep as the system follows them, are then 2⁴⁰ folders."""
    good_file(bench, "tasks/a.parquet")
    good_file(bench, "tasks/deeper/a.parquet", [4.0])
    for name, target in {"itself": ".", "again": ".", "deeper/up": "..", "deeper/round": "../deeper"}.items():
        (bench.folder / "tasks" / name).symlink_to(target)
    assert sorted(xs(bench, f"input.path='{path}'")) == [*GOOD, 4.0]


@pytest.mark.parametrize("again", ["link", "link to its folder", "nothing"])
@pytest.mark.parametrize(
    "path", ["['tasks', 'tasks/a.parquet', 'tasks/*.parquet', 'other/../tasks']", "['tasks', 'other']"]
)
def test_same_file_twice(bench, again, path):
    good_file(bench, "tasks/a.parquet")
    good_file(bench, "other/b.parquet", [4.0])
    if again == "link":
        (bench.folder / "other/c.parquet").symlink_to("../tasks/a.parquet")
    elif again == "link to its folder":
        (bench.folder / "other/c").symlink_to("../tasks")
    assert xs(bench, f"input.path={path}") == [*GOOD, *([4.0] if "'other']" in path else [])]


def test_hard_links_are_files_of_their_own(bench):
    """A tool that saves space by linking equal files must not make rows vanish."""
    file = good_file(bench, "tasks/a.parquet")
    (bench.folder / "tasks/b.parquet").hardlink_to(file)
    assert xs(bench, "input.path='tasks'") == [*GOOD, *GOOD]


def test_link_to_nothing(bench, refusal):
    good_file(bench)
    (bench.folder / "tasks/link.parquet").symlink_to("absent.parquet")
    assert "tasks/link.parquet: it is not readable as Parquet" in refusal()
    assert xs(bench, SKIP) == GOOD


def test_hive_column_that_contradicts_its_path(bench, refusal):
    bench.tasks({"x": [4.0], "day": [2]}, "tasks/day=1/bad.parquet")
    good_file(bench, "tasks/day=2/good.parquet")
    assert "tasks/day=1/bad.parquet: column 'day' is both in the file and in its path" in refusal()
    assert xs(bench, SKIP) == GOOD


def test_unicode_names(bench):
    name = "tasks/größe=µ/数据 – ǘ.parquet"
    bench.tasks({"α∈ℝ": GOOD, "x": [0.0] * 3, "🙂": ["ü", None, "\U0001f600"]}, name)
    summary = bench.run(JOB, 'input.columns={ x = "α∈ℝ" }', "output.columns={ value = \"sin 'α'\" }")
    table = bench.output(summary)
    assert table.column_names == ["α∈ℝ", "x", "🙂", "größe", "sin 'α'", "d1", "status"]
    np.testing.assert_allclose(table["sin 'α'"], np.sin(GOOD), rtol=1e-15)
    assert table["🙂"].to_pylist() == ["ü", None, "\U0001f600"]
    assert table["größe"].to_pylist() == ["µ"] * 3
