"""Integers, and what else need not fit the type that is asked for: whole in the result, or a row of invalid input."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import jaxbatch
from jaxbatch.errors import InputError, JobError
from jaxbatch.output import failed_rows

OWN = """
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxbatch import Column, Kernel


def same(id):
    return {"same": id}


def draw(seed, scale=1.0):
    return {"draw": scale * jax.random.uniform(jax.random.key(seed.astype("int64")))}


def flags(paid, signs):
    half = jnp.where(paid, 0.1, -70000.0).astype("float16")
    return {"open": ~paid, "signs": signs, "count": signs.sum(), "half": half}


def square(x):
    return x * x


@dataclass(frozen=True)
class Given(Kernel):
    inputs = (Column("n", DTYPE),)
    outputs = (Column("same", OUT),)

    def row(self, n):
        return {"same": n}


@dataclass(frozen=True)
class Wide(Given):
    needs_x64 = True


@dataclass(frozen=True)
class Pairs(Kernel):
    inputs = (Column("n", DTYPE, shape=("m",)), Column("of", "int", shape=(2, "k")))
    outputs = (Column("total", "int64"),)

    def row(self, n, of, m, k):
        return {"total": n.astype("int64").sum() + of.sum()}
"""

LIMITS = '[limits]\nmax_failed_rows = "100%"\n'


def apply(function: str, more: str = "", keep: str = '"id"') -> str:
    params = f'kernel = "apply"\n[params]\nfunction = "own.py:{function}"\n{more}\n'
    return f'{params}[input]\npath = "tasks.parquet"\nkeep = [{keep}]\n{LIMITS}'


def kernel(bench: Any, name: str, dtype: str, out: str | None = None) -> str:
    """The job of one of our own kernels that takes a type and gives it back."""
    bench.file("own.py", OWN.replace("DTYPE", repr(dtype)).replace("OUT", repr(out or dtype)))
    return f'kernel = "own.py:{name}"\n{LIMITS}'


@pytest.fixture
def own(bench):
    bench.file("own.py", OWN.replace("DTYPE", "'int'").replace("OUT", "'int64'"))
    return bench


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


IDS = [0, -7, 2**53, -(2**53), 2**53 + 1, -(2**53) - 1, 1541815603606036487, 2**63 - 1, -(2**63), None]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_integer_that_a_float_need_not_hold_is_invalid_input(precision, own):
    own.tasks({"id": pa.array(IDS, pa.int64())})
    rows = own.rows(apply("same"), f"compute.precision='{precision}'")
    taken = [id is not None and abs(id) <= 2**53 for id in IDS]
    assert column(rows, "status") == ["ok" if took else "invalid_input" for took in taken[:-1]] + ["null_input"]
    number = np.dtype(precision).type
    assert column(rows, "same") == [float(number(id)) if took else None for id, took in zip(IDS, taken, strict=True)]
    assert column(rows, "id") == IDS


STORED = {
    "int64": pa.array(IDS, pa.int64()),
    "a dictionary": pa.array(IDS, pa.int64()).dictionary_encode(),
    "decimals": pa.array([None if id is None else Decimal(id) for id in IDS], pa.decimal128(38, 0)),
    "int16": pa.array([1, -32768, None], pa.int16()),
    "uint64": pa.array([2**63, 2**64 - 1, 2**63 - 1, 0, None], pa.uint64()),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("stored", STORED)
def test_integers_that_are_named_come_whole(stored, precision, own):
    own.tasks({"id": STORED[stored]})
    rows = own.rows(apply("same", 'integers = ["id"]'), f"compute.precision='{precision}'")
    bits = 63 if precision == "float64" else 31
    for row, id in zip(rows, STORED[stored].to_pylist(), strict=True):
        fits = id is not None and -(2**bits) <= id < 2**bits
        assert row == {
            "id": id,
            "same": int(id) if id is not None and fits else None,
            "status": "ok" if fits else "null_input" if id is None else "invalid_input",
        }


def test_integers_in_lists(own):
    lists = [[1, 2], [2**53 + 1, 2], [3, -(2**60)], [2**53, None], None, [5]]
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.int64())):
        own.tasks({"id": pa.array(lists, kind)})
        rows = own.rows(apply("same"))
        expected = ["ok", "invalid_input", "invalid_input", "null_input", "null_input", "invalid_input"]
        assert column(rows, "status") == expected
        assert rows[0]["same"] == [1.0, 2.0]
    rows = own.rows(apply("same", 'integers = ["id"]'))
    assert column(rows, "same") == [*lists[:3], None, None, None]
    assert column(rows, "status") == ["ok", "ok", "ok", "null_input", "null_input", "invalid_input"]


def test_keys_from_neighbouring_seeds_are_not_one(own):
    seeds = [2**53 + step for step in range(8)] + [2**63 - 1 - step for step in range(8)]
    own.tasks({"seed": seeds})
    rows = own.rows(apply("draw", 'integers = ["seed"]', keep=""))
    assert len(set(column(rows, "draw"))) == len(seeds)


def test_a_key_of_the_path_is_an_integer_like_any_other(own):
    ids = [-(2**63), 1541815603606036487, 2**53 - 1, 2**53 + 1]  # in the order of the paths
    for id in ids:
        own.tasks({"x": [1.0]}, f"id={id}/a.parquet")
    path = "input.path='id=*/*.parquet'"
    assert column(own.rows(apply("same"), path), "same") == [None, None, float(2**53 - 1), None]
    assert column(own.rows(apply("same", 'integers = ["id"]'), path), "same") == ids
    own.tasks({"x": [1.0]}, f"id={2**63}/a.parquet")
    with pytest.raises(JobError, match="'id' is string, not integers"):
        own.run(apply("same", 'integers = ["id"]'), path, restart=True)


def test_decimals_are_rounded_where_they_are_not_named(own):
    ids = [Decimal(2**53 + 1), Decimal(10**30 + 1)]
    own.tasks({"id": pa.array(ids, pa.decimal128(38, 0))})
    rows = own.rows(apply("same"))
    assert column(rows, "same") == [float(id) for id in ids]


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        ("idd", "", "no argument 'idd'"),
        ("sed", "", "no argument 'sed'.\nDid you mean 'seed'?"),
        ("scale", "", "'scale' has no column, but its default"),
        ("scale", "constants = { scale = 2 }", "'scale' has no column, but a constant"),
        ("seed", 'columns = { seed = "x" }', "'seed' is double, not integers"),
        ("seed", 'columns = { seed = "fraction" }', "'seed' is decimal128\\(9, 2\\), not integers"),
        ("seed", 'columns = { seed = "flag" }', "'seed' is bool, not integers"),
        ("seed", 'columns = { seed = "floats" }', "'seed' is list<.*double>, not integers"),
    ],
)
def test_what_names_no_column_of_integers_is_refused(names, more, words, own):
    fraction = pa.array([Decimal("1.25")], pa.decimal128(9, 2))
    own.tasks({"seed": [1], "x": [1.0], "fraction": fraction, "flag": [True], "floats": [[1.0]]})
    job = apply("draw", f'integers = ["{names}"]', keep="").replace("keep", f"{more}\nkeep")
    with pytest.raises(JobError, match=words) as refused:
        own.run(job)
    assert refused.value.exit_code == 4
    assert len(str(refused.value).splitlines()) == 2


NUMBERS: dict[str, tuple[str, pa.Array]] = {
    "int8": ("int8", pa.array([0, 127, 128, -128, -129, 300, 2**40, None])),
    "uint8 of int8": ("uint8", pa.array([0, 127, -1, -128, None], pa.int8())),
    "uint32": ("uint32", pa.array([0, -1, 2**32 - 1, 2**32, -(2**63), None])),
    "int64 of uint64": ("int64", pa.array([2**63 - 1, 2**63, 2**64 - 1], pa.uint64())),
    "uint64 of int64": ("uint64", pa.array([2**63 - 1, -1])),
    "int16 of floats": ("int16", pa.array([1.0, 1.5, -32768.0, 32768.0, np.nan, np.inf, 1e300])),
    "int64 of floats": ("int64", pa.array([2.0**62, 2.0**63, -(2.0**63), 1e19])),
    "int32 of decimals": ("int32", pa.array([Decimal("2.00"), Decimal("2.50"), Decimal("3e9")], pa.decimal128(20, 2))),
    "float16": ("float16", pa.array([65504.0, 65520.0, -1e300, np.inf, 0.1])),
    "float16 of int64": ("float16", pa.array([2049, 65504, 70000, -(2**60)])),
    "float32": ("float32", pa.array([1e38, 1e39, -np.inf])),
    "bool": ("bool", pa.array([True, None, False])),
    "bool of int64": ("bool", pa.array([0, 1, 2, -1])),
}


@pytest.mark.parametrize("case", NUMBERS)
@pytest.mark.filterwarnings("ignore:overflow")  # where the oracle casts
def test_a_declared_type_never_makes_another_number(case, bench):
    dtype, given = NUMBERS[case]
    bench.tasks({"n": given})
    rows = bench.rows(kernel(bench, "Given", dtype))
    kind = np.dtype(dtype)
    for row, value in zip(rows, given.to_pylist(), strict=True):
        if value is None:
            assert (row["same"], row["status"]) == (None, "null_input")
            continue
        if kind.kind == "f":
            nearest = kind.type(value)
            fits = bool(np.isfinite(nearest)) or not np.isfinite(value)
            status = "invalid_input" if not fits else "ok" if np.isfinite(nearest) else "nonfinite"
            same = float(nearest) if fits else None
        else:
            low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
            fits = bool(np.isfinite(float(value))) and value == int(value) and int(low) <= value <= int(high)
            status, same = ("ok", int(value)) if fits else ("invalid_input", None)
        assert (row["same"], row["status"]) == (same, status), value


@pytest.mark.parametrize(
    ("name", "dtype", "bits"),
    [("Given", "int", 32), ("Given", "int64", 32), ("Wide", "int", 64), ("Wide", "int64", 64)],
)
def test_integers_in_float32_runs(name, dtype, bits, bench):
    given = [2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 2 ** (bits - 1), 2**63, 2**64 - 1, 2**32 + 1]
    inside = [-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) for value in given]
    bench.tasks({"n": pa.array([max(value, 0) for value in given], pa.uint64())})
    rows = bench.rows(kernel(bench, name, dtype, "int64"), "compute.precision='float32'")
    assert column(rows, "status") == ["ok" if fits else "invalid_input" for fits in inside]
    assert column(rows, "same") == [max(value, 0) if fits else None for value, fits in zip(given, inside, strict=True)]


def test_lists_of_any_length_and_lists_of_lists(bench):
    n = [[1, 2, 3], [1, 300], [-1], [], [7], None]
    of = [[[1], [2]], [[1], [2]], [[1], [2]], [[], []], [[1, 2**63], [0, 0]], [[1], [2]]]
    stored = pa.array(of, pa.list_(pa.list_(pa.uint64())))
    bench.tasks({"n": pa.array(n, pa.list_(pa.int64())), "of": stored})
    rows = bench.rows(kernel(bench, "Pairs", "uint8"), "input.keep=[]")
    assert column(rows, "status") == ["ok", "invalid_input", "invalid_input", "ok", "invalid_input", "null_input"]
    assert column(rows, "total") == [9, None, None, 0, None, None]


ORDERS = [1, 2, 2**32 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_order_that_is_no_order_does_not_become_one(precision, own):
    count = len(ORDERS)
    order = pa.array(ORDERS, pa.uint64())
    own.tasks({"x": [3.0] * count, "center": [3.0] * count, "point": [3.5] * count, "order": order})
    given = f'[input]\npath = "tasks.parquet"\nkeep = []\n{LIMITS}[compute]\nprecision = "{precision}"\n'
    function = '[params]\nfunction = "own.py:square"\n'
    rows = own.rows(
        f'kernel = "derivatives"\n{function}order = 2\n{given}'.replace("keep", 'columns = { order = "order" }\nkeep')
    )
    assert column(rows, "status") == ["ok"] * 2 + ["invalid_input"] * (count - 2)
    assert [column(rows, name)[:2] for name in ("value", "d1", "d2")] == [[9.0, 9.0], [6.0, 6.0], [None, 2.0]]
    rows = own.rows(f'kernel = "taylor"\n{function}max_order = 2\n{given}')
    assert column(rows, "status") == ["ok"] * 2 + ["invalid_input"] * (count - 2)
    assert column(rows, "coefficients") == [[9.0, 6.0], [9.0, 6.0, 1.0]] + [None] * (count - 2)


@pytest.mark.parametrize(
    ("dtype", "value", "fits"),
    [
        *[("int8", 127, True), ("int8", 128, False), ("uint8", -1, False), ("uint64", 2**64 - 1, True)],
        *[("int", 2**63 - 1, True), ("int", 2**63, False), ("float16", 1e5, False), ("float16", 1.5, True)],
        *[("int8", 1.5, False), ("int8", 3.0, True), ("bool", True, True), ("bool", 2, False), ("float", True, False)],
    ],
)
def test_a_constant_fits_or_is_refused(dtype, value, fits, bench):
    text = f"{value}".lower()
    job = kernel(bench, "Given", dtype, "float" if dtype == "float" else None if dtype != "int" else "int64")
    job += f'[input]\npath = "tasks.parquet"\nconstants = {{ n = {text} }}\n'
    bench.tasks({"x": [1.0]})
    if fits:
        assert column(bench.rows(job), "same") == [value]
        return
    with pytest.raises(JobError, match=f"{value!r} does not fit the column 'n'"):
        bench.run(job)


def test_an_order_for_all_rows_must_fit_in_float32_too(own):
    own.tasks({"center": [1.0], "point": [2.0]})
    job = f'kernel = "taylor"\n[params]\nfunction = "own.py:square"\nmax_order = 2\n{LIMITS}'
    job += f'[input]\npath = "tasks.parquet"\nconstants = {{ order = {2**32 + 1} }}\n'
    with pytest.raises(JobError, match=f"{2**32 + 1} does not fit the column 'order'"):
        own.run(job, "compute.precision='float32'")
    assert column(own.rows(job), "status") == ["invalid_input"]
    with pytest.raises(JobError, match="'one' does not fit the column 'order'"):
        own.run(job.replace("max_order = 2", ""), "input.constants.order='one'", restart=True)


def test_truth_values_come_as_such(own):
    signs = [[True, False], [True, True], [False, None], [False, False], None, [True]]
    own.tasks({"paid": [True, False, True, None, True, False], "signs": signs})
    table = own.output(own.run(apply("flags", keep=""), restart=True))
    kinds = {field.name: field.type for field in table.schema}
    truths = pa.list_(pa.bool_())
    assert kinds == {
        **{"open": pa.bool_(), "signs": truths, "count": pa.int64(), "half": pa.float16(), "status": pa.string()}
    }
    rows = table.to_pylist()
    assert column(rows, "status") == ["ok", "nonfinite", *["null_input"] * 3, "invalid_input"]
    assert rows[0] == {
        "open": False,
        "signs": [True, False],
        "count": 1,
        "half": float(np.float16(0.1)),
        "status": "ok",
    }
    assert (rows[1]["open"], rows[1]["signs"], rows[1]["count"], rows[1]["half"]) == (True, [True] * 2, 2, -np.inf)


def test_a_column_of_truth_values_is_no_column_of_numbers(bench):
    bench.tasks({"n": [True]})
    for dtype in ("float", "int", "int8", "float32"):
        job = kernel(bench, "Given", dtype, "float" if dtype == "float" else "int64" if dtype == "int" else None)
        with pytest.raises(InputError, match=r"'n' is bool, but (numbers|integers) are needed"):
            bench.run(job)
    bench.tasks({"n": ["yes"]})
    with pytest.raises(InputError, match="'n' is string, but booleans are needed"):
        bench.run(kernel(bench, "Given", "bool"))


def test_a_failed_row_is_shown_with_the_number_that_did_not_fit(own):
    own.tasks({"id": [1, 2**53 + 1], "x": [1.0, 2.0]})
    summary = own.run(apply("same", keep='"id", "x"'))
    (shown,) = failed_rows.find_examples(summary.output)
    assert f"id is {2**53 + 1}" in str(shown)
    own.tasks({"id": pa.array([[1, 2**31], [1, None]], pa.list_(pa.int64()))})
    summary = own.run(apply("same", 'integers = ["id"]'), "compute.precision='float32'", restart=True)
    assert [each.blamed for each in failed_rows.find_examples(summary.output)] == [("id", 2**31), ("id", None)]
    own.tasks({"x": [3.0], "order": pa.array([2**63], pa.uint64())})
    job = f'kernel = "derivatives"\n[params]\nfunction = "own.py:square"\n{LIMITS}'
    job += '[input]\npath = "tasks.parquet"\ncolumns = { order = "order" }\n'
    summary = own.run(job, restart=True)
    assert [each.blamed for each in failed_rows.find_examples(summary.output)] == [("order", 2**63)]


def test_the_program_of_floats_is_what_it_was(own):
    own.tasks({"id": [1.5]})
    plain = jaxbatch.plan(own.job(apply("same")))
    own.tasks({"id": [1]})
    whole = jaxbatch.plan(own.job(apply("same")))
    assert plain.identity["code"]["program"] == whole.identity["code"]["program"]
    assert (plain.limits, whole.limits) == ({}, {"id": (-(2**53), 2**53)})


def test_an_output_of_integers_is_not_narrowed(bench):
    """It might wrap: 300 as int8 would be 44."""
    kernel = (
        "from jaxbatch import Column, Kernel\n\n\nclass Own(Kernel):\n    inputs = (Column('n', 'int'),)\n"
        "    outputs = (Column('m', '{declared}'),)\n\n    def row(self, n):\n        return {{'m': {result}}}\n"
    )
    bench.tasks({"n": [3, 300]})
    for declared, result in (("int8", "n * 100"), ("uint8", "n"), ("uint64", "n"), ("int32", "n")):
        bench.file("own.py", kernel.format(declared=declared, result=result))
        with pytest.raises(JobError, match=f"The output 'm' is int64 but is declared as {declared}"):
            bench.run('kernel = "own.py:Own"\n')
    bench.file("own.py", kernel.format(declared="int", result="n.astype('int16') * 100"))
    assert [row["m"] for row in bench.rows('kernel = "own.py:Own"\n')] == [300, 30000]


@pytest.mark.parametrize(
    ("value", "limits", "blamed"),
    [
        (300, (-128, 127), 300),
        ([1, 300], (-128, 127), 300),
        (np.inf, (-128, 127), np.inf),
        (None, (-128, 127), None),
        (1e39, (-3.4e38, 3.4e38), 1e39),
        (np.inf, (-3.4e38, 3.4e38), None),
        (np.nan, (-3.4e38, 3.4e38), None),
    ],
)
def test_what_fits_is_not_blamed(value, limits, blamed):
    """NaN and infinity are floats, and no integers."""
    assert failed_rows._beyond(value, *limits) == blamed
