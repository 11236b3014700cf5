"""SQL's logic of three values, all of it; and that what ranges allow has every outcome that rows have."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.input.where import parse
from jaxbatch.input.where.nodes import Literal
from jaxbatch.input.where.outcomes import Outcomes, Range, possible

VALUES = (True, False, None)
PAIRS = list(itertools.product(VALUES, VALUES))


def sql_and(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def sql_not(a: bool | None) -> bool | None:
    return None if a is None else not a


def sql_or(a: bool | None, b: bool | None) -> bool | None:
    return sql_not(sql_and(sql_not(a), sql_not(b)))


def sql_equal(a: bool | None, b: bool | None) -> bool | None:
    return None if a is None or b is None else a == b


CASES = {
    "a and b": sql_and,
    "a or b": sql_or,
    "a == b": sql_equal,
    "a != b": lambda a, b: sql_not(sql_equal(a, b)),
    "not (a and b)": lambda a, b: sql_not(sql_and(a, b)),
    "not (a or b)": lambda a, b: sql_not(sql_or(a, b)),
    "not (not a and b or a)": lambda a, b: sql_not(sql_or(sql_and(sql_not(a), b), a)),
    "a and True or b and None": lambda a, b: sql_or(sql_and(a, True), sql_and(b, None)),
}


@pytest.mark.parametrize("condition", CASES)
def test_conditions_join_as_in_sql(condition):
    table = pa.table({"a": pa.array([a for a, _ in PAIRS]), "b": pa.array([b for _, b in PAIRS])})
    wanted = [CASES[condition](a, b) for a, b in PAIRS]
    assert parse(condition).mask(table).tolist() == [each is True for each in wanted]
    assert parse(f"not ({condition})").mask(table).tolist() == [each is False for each in wanted]


RANGES = {
    (1.0, 3.0): Range("number", 1.0, 3.0, may_be_null=False),
    (2.0, 2.0, None): Range("number", 2.0, 2.0),
    (np.nan, 0.0): Range("number", 0.0, 0.0, may_be_null=False, may_be_nan=True),
    (None,): Range("number", may_be_value=False),
}


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(RANGES, RANGES)))
def test_no_outcome_of_a_row_is_ruled_out(sign, left, right):
    rows = list(itertools.product(left, right))
    kind = pa.float64()
    table = pa.table({"x": pa.array([x for x, _ in rows], kind), "y": pa.array([y for _, y in rows], kind)})
    condition = parse(f"x {sign} y")
    allowed = possible(condition.node, {"x": RANGES[left], "y": RANGES[right]})
    true, false = condition.mask(table), parse(f"not x {sign} y").mask(table)
    assert allowed & Outcomes.TRUE or not true.any()
    assert allowed & Outcomes.FALSE or not false.any()
    assert allowed & Outcomes.NULL or (true | false).all()


@pytest.mark.parametrize("count", [2, 9])
@pytest.mark.parametrize("key", [2020, "a", None])
def test_options_of_other_kinds_rule_nothing_out(count, key):
    """Keys are asked before kinds are checked, which then refuses the condition in words."""
    for options in (range(count), [f"'{n}'" for n in range(count)], ["'b'", *range(count)]):
        condition = parse(f"key in ({', '.join(map(str, options))},)")
        kinds = {str if str(each).startswith("'") else int for each in options}
        assert condition.excludes({"key": key}) == (key is None or kinds == {type(key)})


@pytest.mark.parametrize(
    ("condition", "outcomes"),
    [
        ("x > 3", Outcomes.FALSE),
        ("x >= 3", Outcomes.TRUE | Outcomes.FALSE),
        ("x < 4", Outcomes.TRUE),
        ("x == 0", Outcomes.FALSE),
        ("x in (0, 4)", Outcomes.FALSE),
        ("x in (0, 2)", Outcomes.TRUE | Outcomes.FALSE),
        ("x is None", Outcomes.FALSE),
        ("none is None", Outcomes.TRUE),
        ("none == 1", Outcomes.NULL),
        ("x > 3 and unknown == 1", Outcomes.FALSE),
        ("x < 4 or unknown == 1", Outcomes.TRUE),
        ("not x > 3", Outcomes.TRUE),
        ("not x > 2", Outcomes.TRUE | Outcomes.FALSE),
        ("x > 2 or x > 5", Outcomes.TRUE | Outcomes.FALSE),
        ("not (x > 2 and unknown == 1)", Outcomes.TRUE | Outcomes.FALSE),
        ("two + 1 == 3", Outcomes.TRUE),
        ("x + 1 == 9", Outcomes.TRUE | Outcomes.FALSE),
        ("text > 'b'", Outcomes.FALSE),
    ],
)
def test_ranges_rule_out_what_they_can(condition, outcomes):
    ranges = {
        "x": Range("number", 1, 3, may_be_null=False),
        "two": Range("number", 2, 2, may_be_null=False),
        "none": Range("number", may_be_value=False),
        "text": Range("text", b"a", b"b", may_be_null=False),
    }
    found = possible(parse(condition).node, ranges)
    assert found & ~Outcomes.NULL == outcomes & ~Outcomes.NULL
    assert possible(Literal(None, 0), ranges) == Outcomes.NULL
