"""Random conditions over random tables choose the rows that DuckDB chooses, in the same order.

DuckDB differs in three things, which are kept out or translated: it takes NaN for equal to NaN and greater than every
number, so that there is none; a division by zero is null there; and 32-bit floats and decimals are compared with
literals of their own type.
"""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxbatch.errors import InputError
from jaxbatch.input.file_checks import open_input
from jaxbatch.input.row_reader import Rows
from jaxbatch.input.shards import RowGroup
from jaxbatch.input.where import parse
from jaxbatch.job.model import Job

DAY, NOON = dt.date(2026, 3, 1), dt.datetime(2026, 3, 1, 12)
TYPES = {
    "i": pa.int64(),
    "small": pa.int8(),
    "u": pa.uint64(),
    "x": pa.float64(),
    "dec": pa.decimal128(9, 2),
    "s": pa.string(),
    "coded": pa.dictionary(pa.int8(), pa.string()),
    "d": pa.date32(),
    "t": pa.timestamp("us"),
    "flag": pa.bool_(),
    "unit price": pa.int32(),
}
INTEGERS = st.integers(-3, 5)
FLOATS = st.sampled_from([-1.5, -1.0, 0.0, 0.5, 1.0, 2.25, 1e9])
TEXTS = st.sampled_from(["", "EU", "US", "eu", "Z\u00fcrich", "it's", "\U0001f600"])
DAYS = st.integers(-3, 3).map(lambda days: DAY + dt.timedelta(days))
TIMES = st.sampled_from([NOON + dt.timedelta(hours=hours) for hours in (-36, -12, 0, 12, 13)])
VALUES = {
    "i": INTEGERS,
    "small": INTEGERS,
    "u": st.integers(0, 5),
    "x": FLOATS,
    "dec": st.sampled_from([Decimal("-1.50"), Decimal("0.10"), Decimal("1.00"), Decimal("2.25")]),
    "s": TEXTS,
    "coded": TEXTS,
    "d": DAYS,
    "t": TIMES,
    "flag": st.booleans(),
    "unit price": INTEGERS,
}
KEYS = ("year", "region")

TABLES = st.lists(st.fixed_dictionaries({name: st.none() | each for name, each in VALUES.items()}), max_size=40)

Both = tuple[str, str]
"""An expression of ours, and the same in SQL."""


def column(name: str) -> Both:
    return (f'col("{name}")' if " " in name else name), f'"{name}"'


def literal(value: object) -> Both:
    match value:
        case dt.datetime():
            return f"datetime({value.isoformat()!r})", f"TIMESTAMP '{value}'"
        case dt.date():
            return f"date({value.year}, {value.month}, {value.day})", f"DATE '{value}'"
        case str():
            return repr(value), "'" + value.replace("'", "''") + "'"
        case float():
            return repr(value), f"CAST({value!r} AS DOUBLE)"
    return repr(value), str(value)


def both(template: str, *parts: Both, sql: str | None = None) -> Both:
    return template.format(*(part[0] for part in parts)), (sql or template).format(*(part[1] for part in parts))


NUMBERS = st.sampled_from(["i", "small", "u", "x", "unit price", "year"]).map(column)
SUMS = st.builds(
    lambda operation, left, right: both(
        f"({{}} {operation} {{}})", left, right, sql=f"(CAST({{}} AS DOUBLE) {operation} CAST({{}} AS DOUBLE))"
    ),
    st.sampled_from("+-*"),
    NUMBERS,
    NUMBERS | INTEGERS.map(literal) | FLOATS.map(literal),
)
QUOTIENTS = st.builds(
    lambda left, right: both("({} / {})", left, right, sql="(CAST({} AS DOUBLE) / CAST({} AS DOUBLE))"),
    NUMBERS,
    st.sampled_from([-2, 3, 0.5]).map(literal),
)
TENTHS = st.sampled_from([0.1, 0.125, -1.5, 1, 2.25]).map(lambda each: (repr(each), repr(each)))
KINDS = st.sampled_from(
    [
        (NUMBERS | SUMS | QUOTIENTS, INTEGERS.map(literal) | FLOATS.map(literal)),
        (st.just(column("dec")), INTEGERS.map(literal) | TENTHS),
        (st.sampled_from(["s", "coded", "region"]).map(column), TEXTS.map(literal)),
        (st.just(column("d")), DAYS.map(literal)),
        (st.just(column("t")), TIMES.map(literal) | DAYS.map(literal)),
    ]
)
SQL = {"==": "=", "!=": "<>"}


@st.composite
def comparisons(draw: st.DrawFn) -> Both:
    values, constants = draw(KINDS)
    form = draw(st.sampled_from(["plain", "turned", "between", "in", "null"]))
    one, negated = draw(values), draw(st.booleans())
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    if form == "plain":
        sign = draw(operators)
        return both(f"{{}} {sign} {{}}", one, draw(constants | values), sql=f"{{}} {SQL.get(sign, sign)} {{}}")
    if form == "turned":
        sign = draw(operators)
        return both(f"{{}} {sign} {{}}", draw(constants), one, sql=f"{{}} {SQL.get(sign, sign)} {{}}")
    if form == "between":
        return both("{0} <= {1} < {2}", draw(constants), one, draw(constants), sql="({0} <= {1} AND {1} < {2})")
    if form == "null":
        return both(f"{{}} is {'not ' * negated}None", one, sql=f"{{}} IS {'NOT ' * negated}NULL")
    options = draw(st.lists(constants | st.just(("None", "NULL")), min_size=1, max_size=12))
    listed = ", ".join(f"{{{number + 1}}}" for number in range(len(options)))
    word = "not in" if negated else "in"
    return both(f"{{0}} {word} ({listed},)", one, *options, sql=f"{{0}} {word} ({listed})")


CONDITIONS = st.recursive(
    comparisons() | st.just(column("flag")) | st.sampled_from([("True", "TRUE"), ("flag == False", "flag = FALSE")]),
    lambda inner: (
        st.builds(lambda a, b: both("({} and {})", a, b), inner, inner)
        | st.builds(lambda a, b: both("({} or {})", a, b), inner, inner)
        | st.builds(lambda a: both("(not {})", a), inner)
    ),
    max_leaves=8,
)


def written(folder: Path, rows: list[dict[str, object]], year: int, region: str) -> pa.Table:
    """The rows as Parquet under Hive keys, in row groups of five rows; and as a table with the keys."""
    where = folder / f"year={year}" / f"region={region}"
    where.mkdir(parents=True)
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}
    table = pa.table({"row": pa.array(range(len(rows)), pa.int64()), **columns})
    pq.write_table(table, where / "rows.parquet", row_group_size=5)
    keys = {"year": pa.array([year] * len(rows), pa.int64()), "region": pa.array([region] * len(rows), pa.string())}
    return pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **keys})


def chosen(folder: Path, condition: str) -> list[tuple[object, ...]]:
    """Year, region and number of the rows that pass, read as a run reads them; the files are pruned twice."""
    job = Job.model_validate(
        {"kernel": "apply", "input": {"path": str(folder), "where": condition}, "output": {"path": "out"}}
    )
    try:
        opened = open_input(job)
    except InputError as error:
        if "rule out all" not in str(error):
            raise
        return []
    found = parse(condition)
    found.check(opened.schema)
    groups = [
        RowGroup(number, index, rows)
        for number, file in enumerate(opened.files)
        for index, rows in enumerate(file.row_groups)
    ]
    left = list(found.remaining(opened.files, groups))
    rows = Rows(opened.files, left, opened.schema, 1000)
    table = rows.take(sum(group.rows for group in left))
    passing = table.filter(pa.array(found.mask(table)))
    return list(zip(*(passing.column(name).to_pylist() for name in (*KEYS, "row")), strict=True))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables=st.lists(TABLES, min_size=1, max_size=3), condition=CONDITIONS)
def test_chooses_what_duckdb_chooses(tmp_path_factory, tables, condition):
    folder = tmp_path_factory.mktemp("tables")
    regions = ("EU", "US", "it's")
    table = pa.concat_tables(
        written(folder, rows, 2025 + number, regions[number]) for number, rows in enumerate(tables)
    )
    with duckdb.connect() as connection:
        connection.register("t", table)
        wanted = connection.sql(f"SELECT year, region, row FROM t WHERE {condition[1]}").fetchall()
    assert chosen(folder, condition[0]) == wanted
