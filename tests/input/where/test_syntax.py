"""What an expression may say, and what is said of one that may not."""

import pyarrow as pa
import pytest

from jaxbatch.input.where import WhereError, parse

SCHEMA = pa.schema(
    {
        "price": pa.float64(),
        "volume": pa.int64(),
        "region": pa.string(),
        "day": pa.date32(),
        "at": pa.timestamp("ns"),
        "seen": pa.timestamp("us", "UTC"),
        "flag": pa.bool_(),
        "curve": pa.list_(pa.float64()),
        "unit price": pa.float64(),
        "nothing": pa.null(),
    }
)


@pytest.mark.parametrize(
    ("condition", "parsed"),
    [
        ("price>0", "(price > 0)"),
        ("0 < price <= 1", "((0 < price) and (price <= 1))"),
        ("not flag", "(not flag)"),
        ("region in ['EU', \"US\"]", "(region in ('EU', 'US'))"),
        ("region not in ('EU',)", "(not (region in ('EU')))"),
        ("price is not None", "(not (price is None))"),
        ("-price < +volume", "((-0.0 - price) < (-0.0 + volume))"),
        ("price < -1", "(price < -1)"),
        ('col("unit price") > 1e-3', "(col('unit price') > 0.001)"),
        ("day == date('1970-01-02') or day == date(1970, 1, 2)", "((day == D) or (day == D))"),
        ("price > 0  # a remark", "(price > 0)"),
        ("price > 0\n and\n volume > 1", "((price > 0) and (volume > 1))"),
        ("nothing == 1 or nothing", "((nothing == 1) or nothing)"),
        ("(price > 1) == flag", "((price > 1) == flag)"),
        ("True", "True"),
    ],
)
def test_is_read(condition, parsed):
    found = parse(condition)
    found.check(SCHEMA)
    assert str(found) == parsed.replace("D", "date('1970-01-02')")


def test_layout_and_quotes_do_not_count():
    assert str(parse("price>0 and region=='a'")) == str(parse('(price  >  0)\nand (region == "a")'))


def test_names_its_columns_once_each_in_order():
    assert parse("volume > price and region in ('a', 'b') and volume < 2").columns == ("volume", "price", "region")


@pytest.mark.parametrize(
    ("condition", "at", "what", "remedy"),
    [
        ("prices > 0", "prices", "no column 'prices'", "Did you mean 'price'?"),
        ("volume > 0 and regin == 'EU'", "regin", "no column 'regin'", "Did you mean 'region'?"),
        ("price", "price", "'price' is a number", "Compare it"),
        ("price and flag", "price", "'price' is a number", "Compare it"),
        ("not region", "region", "'region' is a text", "Compare it"),
        ("price == '5'", "price", "cannot be compared", "Write 5 without quotes"),
        ("price == 'EU'", "price", "'price' (double) and 'EU' (a text)", "Compare it with a number"),
        ("region == 5", "region", "cannot be compared", "Write the text in quotes"),
        ("day > '2026-01-01'", "day", "cannot be compared", "Write date('2026-01-01')"),
        ("at > '2026-01-01'", "at", "cannot be compared", "Write datetime('2026-01-01')"),
        ("seen > datetime(2026, 1, 1)", "seen", "cannot be compared", "Give the time its zone"),
        ("curve == 1", "curve", "cannot be compared", "only `is None`"),
        ("region + 'x' == 'EUx'", "region", "+ needs numbers", ""),
        ("price == None", "None", "nothing compares with None", "is None"),
        ("price = 5", "price = 5", "it is no expression: invalid syntax. Maybe you meant '=='", "Known are"),
        ("price > ", "", "it is no expression", "Known are"),
        ("price > 0 &  flag", "0 &", "of operations only", "Write `and`"),
        ("~flag", "~flag", "~ is not known", "Write `not`"),
        ("price ** 2 > 1", "price **", "of operations only", "Known are"),
        ("region.startswith('E')", "region.starts", "can be called", "Known are"),
        ("a.b > 1", "a.b", "a dot in a name is not known", "col('a.b')"),
        ("'E' in region", "region", "`in` needs a tuple", "x in ('a',) for one"),
        ("region in ('EU')", "'EU'", "`in` needs a tuple", "x in ('a',) for one"),
        ("price is 5", "5", "`is` is for None alone", "=="),
        ("date(2026, 2, 30) > day", "date(2026, 2, 30)", "gives none: day is out of range", "date(2026, 11, 28)"),
        ("day > date('yesterday')", "date('yes", "gives none", "date('2026-11-28')"),
        ("__import__('os').system('true')", "__import__", "can be called", "Known are"),
        ("[x for x in (1, 2)]", "[x for", "a comprehension is not known", "Known are"),
        ("price > 0) and (flag", ")", "it is no expression", "Known are"),
        ("", "", "it is empty", "Known are"),
        ("volume < 0x" + "f" * 2000, "0x", "the integer is too large", "4096 bits"),
        ("region == '\\ud800'", "'", "half of a surrogate pair", ""),
        ("at > datetime('2026-01-01T00:00:00.1234567891')", "datetime", "nanoseconds are the finest", "datetime(2026"),
        ("flag < True", "flag < True", "< cannot compare conditions", "=="),
        ("region == '\\d'", "'\\d'", "it is no expression", "Known are"),
        ("(" * 300 + "price" + ")" * 300, "((((", "it is no expression", "Known are"),
        ("-" * 150 + "price > 0", "-", "nested too deep", "Split it"),
    ],
)
def test_refuses_by_place_and_remedy(condition, at, what, remedy):
    with pytest.raises(WhereError) as refused:
        parse(condition).check(SCHEMA)
    assert what in refused.value.what
    assert remedy in refused.value.remedy
    if not at:
        assert "at its end" in refused.value.what
        return
    place = int(refused.value.what.split("at character ")[1].split(" ")[0]) - 1
    assert condition[place:].startswith(at)


def test_places_count_characters_and_not_bytes():
    with pytest.raises(WhereError, match=r"at character 25 \(`x > 0`\)"):
        parse("region == 'Zürich'\n and x > 0").check(SCHEMA)


def test_many_conditions_side_by_side_are_not_deep():
    condition = parse(" or ".join(f"volume == {number}" for number in range(5000)))
    condition.check(SCHEMA)
    table = pa.table({"volume": pa.array([4999, 5000, None])})
    assert condition.mask(table).tolist() == [True, False, False]


def test_times_are_printed_as_they_are_read():
    for text in (
        "at > datetime('2026-01-01T00:00:00.000000001')",
        "at > datetime('1969-12-31T23:59:59.999999999')",
        "seen > datetime('2026-01-01T01:00:00+01:00')",
        "day > date('0001-01-01')",
    ):
        assert parse(str(parse(text))).node == parse(text).node
    assert (
        str(parse("seen > datetime('2026-01-01T01:00:00+01:00')")) == "(seen > datetime('2026-01-01T00:00:00+00:00'))"
    )


def test_times_that_python_cannot_write_in_utc_have_a_text_too():
    for edge in ("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"):
        assert "after 1970" in str(parse(f"seen > datetime('{edge}')"))
