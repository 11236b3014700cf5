"""The parts of an expression, as values. Their text is the same for expressions that differ in layout alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from keyword import iskeyword
from typing import Literal as OneOf

Comparison = OneOf["==", "!=", "<", "<=", ">", ">="]
Operation = OneOf["+", "-", "*", "/"]


@dataclass(frozen=True)
class Instant:
    """A date or a time, in nanoseconds since 1970; a date is its midnight."""

    nanoseconds: int
    is_date: bool
    has_zone: bool = False

    def __str__(self) -> str:
        seconds, rest = divmod(self.nanoseconds, 10**9)
        try:
            moment = datetime(1970, 1, 1) + timedelta(seconds=seconds)
        except OverflowError:  # in UTC it lies outside the years that Python can write
            return f"datetime({self.nanoseconds} ns after 1970-01-01T00:00:00+00:00)"
        if self.is_date:
            return f"date('{moment.date()}')"
        return f"datetime('{moment.isoformat()}{f'.{rest:09}' if rest else ''}{'+00:00' * self.has_zone}')"


@dataclass(frozen=True)
class Literal:
    """A value that the expression gives: a number, a text, a truth value, a date or time; None for null."""

    value: int | float | str | bool | Instant | None
    at: int = field(compare=False)
    """Where it begins: characters of the expression before it. So it is for all parts."""

    def __str__(self) -> str:
        return str(self.value) if isinstance(self.value, Instant) else repr(self.value)


_OTHERWISE = ("inf", "nan", "date", "datetime", "col")
"""What the text of an expression means otherwise than a column of that name."""


@dataclass(frozen=True)
class Name:
    """A column of the files, or a Hive key."""

    column: str
    at: int = field(compare=False)

    def __str__(self) -> str:
        plain = self.column.isidentifier() and not iskeyword(self.column) and self.column not in _OTHERWISE
        return self.column if plain else f"col({self.column!r})"


@dataclass(frozen=True)
class Arithmetic:
    """A sum, difference, product or quotient, in float64."""

    operation: Operation
    left: "Value"
    right: "Value"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"({self.left} {self.operation} {self.right})"


@dataclass(frozen=True)
class Compare:
    """Two values compared; null if one of them is."""

    comparison: Comparison
    left: "Value"
    right: "Value"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"({self.left} {self.comparison} {self.right})"


@dataclass(frozen=True)
class In:
    """Whether a value equals one of several; null if it equals none, and it or one of them is null."""

    item: "Value"
    options: tuple["Value", ...]
    at: int = field(compare=False)

    @cached_property
    def constants(self) -> tuple[int | float | str | bool | Instant, ...]:
        """The options that the expression gives itself, without null."""
        return tuple(each.value for each in self.options if isinstance(each, Literal) and each.value is not None)

    @property
    def others(self) -> Iterator["Value"]:
        """The other options: columns, sums and null."""
        return (each for each in self.options if not isinstance(each, Literal) or each.value is None)

    def __str__(self) -> str:
        return f"({self.item} in ({', '.join(map(str, self.options))}))"


@dataclass(frozen=True)
class IsNull:
    """Whether a value is null: never null itself."""

    item: "Value"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"({self.item} is None)"


@dataclass(frozen=True)
class Both:
    """Two conditions of which both hold."""

    left: "Node"
    right: "Node"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"({self.left} and {self.right})"


@dataclass(frozen=True)
class Either:
    """Two conditions of which one holds."""

    left: "Node"
    right: "Node"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"({self.left} or {self.right})"


@dataclass(frozen=True)
class Negation:
    """A condition that does not hold."""

    part: "Node"
    at: int = field(compare=False)

    def __str__(self) -> str:
        return f"(not {self.part})"


Value = Literal | Name | Arithmetic
Truth = Compare | In | IsNull | Both | Either | Negation
Node = Value | Truth
"""A column of truth values, or a literal one, is a condition too."""
