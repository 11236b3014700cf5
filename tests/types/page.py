"""docs/types.md from the table: ``python -m tests.types.page`` writes it."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from tests.types.by_hand import Leaf
from tests.types.table import (
    EXACT,
    EXTENSION,
    FLAT,
    HIVE,
    HIVE_REFUSED,
    LISTS,
    NESTED,
    NO_KEY,
    NO_LIST,
    NO_NUMBER,
    PARQUET,
    REFUSED,
    RESULTS,
    RESULTS_REFUSED,
    ROUNDED,
    UNSTORABLE,
    Row,
)

PAGE = Path(__file__).parents[2] / "docs/types.md"


WIDTH = 120
"""No line of prose is longer; rows of tables are what they are."""


def text() -> str:
    """The whole page."""
    return "\n\n".join(map(_wrapped, _paragraphs().split("\n\n")))


def _wrapped(paragraph: str) -> str:
    if paragraph.startswith(("|", "#", "-")):
        return paragraph
    ends = "\n" if paragraph.endswith("\n") else ""
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False) + ends


def _paragraphs() -> str:
    return f"""# Types

Whatever is carried through, read, grouped by or returned is exact, or rounded where numbers are computed with, or
refused with a message. This page is written from the table in `tests/types/table.py`, of which every cell is a test.

- *kept*: carried through, to the bit, in the type that was read; nested columns where `[input] keep` names them
- *names a group*: in `group_by` of a regression
- *argument*: of a user's function, in the run's precision. "exact" is said of float64; in float32 a number of more
  digits is rounded to the nearest, once, ties to even. So are the numbers in lists of one length. A null makes the row
  `null_input`
- *refused*: exit 4 before any work, by the name of the column, that "{NO_KEY.format(type="TYPE")}", or
  "{NO_NUMBER.format(type="TYPE")}"

## Flat columns

{_table(["type", "tried with null and", "kept", "names a group", "argument"], map(_flat, FLAT))}

How a column is stored changes nothing: a dictionary, with indices of any width, ordered or not, is its values; pages
are of any encoding, version and compression, row groups of any size. Of a file without Arrow's schema is known what
Parquet says: a time zone is UTC, a duration a whole number, `large_string` a `string`, a list of one length a list.

The column `order` of `derivatives` and `taylor` takes integers of any width; one that is no order is `invalid_input`.
The column `function` takes texts: {_names(["string", "large_string", "string_view"])} and dictionaries of them.

## Nested columns

{_table(["type", "tried with null and", "kept by name", "names a group"], map(_nested, NESTED))}

Arguments may be {_names(LISTS)}, of numbers and of one length; {_names(NO_LIST)} are refused.

## What other writers store

INT96, the timestamps of Spark, Impala and Hive, has nanoseconds and millions of years, more than 64 bits hold. It
comes as `timestamp[us]`, which is what Spark writes, or as `timestamp[ns]` where the file's Arrow schema says so. A
value that this type cannot hold fails its part, by file, row group, column and value (exit 1); it is never another.

{_table(["Parquet", "kept"], map(_other, PARQUET))}

## Refused

A file with a column of an extension type, used or not, is refused: "column 'NAME' {EXTENSION}"; so for
{_names(REFUSED)}. Parquet has no {", no ".join(UNSTORABLE)}: pyarrow writes none.

## Keys in paths

`k=…` is an integer where all values of `k` are whole numbers of 64 bits, written as numbers are; else all of
them are texts. `%XX` is a byte of UTF-8. `{"`, `".join(f"k={value}" for value in HIVE_REFUSED)}` is refused:
"{"; ".join(HIVE_REFUSED.values())}".

{_table(["folder", "value"], map(_key, HIVE))}

## Results of `apply`

Numbers and lists (of lists) of them are written as the types that the function returns, exact:
{_names(RESULTS)}. In float32 runs JAX itself has none of 64 bits.

Refused ("returns TYPE as 'NAME', which cannot be a column") are {_names(RESULTS_REFUSED)}.
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _flat(row: Row) -> list[str]:
    return [f"`{row.name}`", row.shown, _kept(row), _said(row.key), _argument(row)]


def _nested(row: Row) -> list[str]:
    return [f"`{row.name}`", row.shown, _kept(row), _said(row.key)]


def _kept(row: Row) -> str:
    return _said(row.kept) + (f", as `{row.read_as}`" if row.read_as else "")


def _said(cell: str) -> str:
    return cell if cell in (EXACT, ROUNDED) else "refused"


def _argument(row: Row) -> str:
    said = "rounded to nearest" if row.argument == ROUNDED else _said(row.argument)
    return f"{said}; of `apply`: {row.apply}" if row.apply else said


def _other(each: "tuple[Leaf, pa.Array | str, str]") -> list[str]:
    leaf, kept, kind = each
    physical = leaf.physical + (f"({leaf.length})" if leaf.length else "")
    said = f"exact, as `{kind}`" if isinstance(kept, pa.Array) else f"refused: “{kept}”"
    return [leaf.name if leaf.physical in leaf.name else f"{leaf.name}, {physical}", said]


def _key(each: "tuple[str, str | int | None]") -> list[str]:
    folder, value = each
    said = "null" if value is None else str(value) if isinstance(value, int) else f"“{value}”"
    return [f"`k={folder}`", said]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
