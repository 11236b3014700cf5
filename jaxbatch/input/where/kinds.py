"""Of what kind every part of an expression is, for an input's columns; and which kinds can stand together."""

from typing import Literal as OneOf
from unicodedata import normalize

import pyarrow as pa
from pyarrow import types as pat

from jaxbatch.errors import nearest
from jaxbatch.input.types import normalised
from jaxbatch.input.where.errors import WhereError
from jaxbatch.input.where.nodes import (
    Arithmetic,
    Both,
    Compare,
    Either,
    In,
    Instant,
    IsNull,
    Literal,
    Name,
    Negation,
    Node,
)

Kind = OneOf["number", "text", "truth", "date", "time", "zoned", "null", "other"]
"""``date`` is a day, ``time`` a moment in no zone, ``zoned`` one that is known everywhere; ``other`` is of a type of
which one can only ask whether it is null."""

_WORDS = {
    "number": "a number",
    "text": "a text",
    "truth": "a condition",
    "date": "a date",
    "time": "a time without a zone",
    "zoned": "a time with a zone",
    "null": "null",
    "other": "of a type that cannot be compared",
}


def kind_of_type(kind: pa.DataType) -> Kind:
    """The kind of a column's values."""
    kind = normalised(kind)
    if pat.is_null(kind):
        return "null"
    if pat.is_boolean(kind):
        return "truth"
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        return "number"
    if pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind):
        return "text"
    if pat.is_date(kind):
        return "date"
    if pat.is_timestamp(kind):
        return "time" if kind.tz is None else "zoned"
    return "other"


def kind_of_value(value: object) -> Kind:
    """The kind of a literal."""
    if isinstance(value, Instant):
        return "date" if value.is_date else "zoned" if value.has_zone else "time"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def comparable(one: Kind, other: Kind) -> bool:
    """Whether values of two kinds can be compared."""
    if "other" in (one, other):
        return False
    return one == other or "null" in (one, other) or {one, other} == {"date", "time"}


class KindCheck:
    """Finds the kind of each part of an expression.

    Args:
        text: the expression as written, for messages.
        schema: the input's columns.
    """

    def __init__(self, text: str, schema: pa.Schema):
        self._text = text
        self._schema = schema

    def condition(self, node: Node) -> None:
        """Check that a part is a condition, and all that is in it.

        Raises:
            WhereError: it is not, or two values cannot be compared, or there is no such column.
        """
        kind = self.kind(node)
        if kind not in ("truth", "null"):
            shown = f"'{node.column}' is" if isinstance(node, Name) else "this is"
            raise self._error(node, f"{shown} {_WORDS[kind]}, but a condition is needed", "Compare it with something.")

    def kind(self, node: Node) -> Kind:
        """The kind of a part.

        Raises:
            WhereError: two values cannot be compared, or there is no such column.
        """
        match node:
            case Literal():
                return kind_of_value(node.value)
            case Name():
                return self._column(node)
            case Arithmetic():
                for each in (node.left, node.right):
                    if (kind := self.kind(each)) not in ("number", "null"):
                        raise self._error(each, f"{node.operation} needs numbers, and this is {_WORDS[kind]}")
                return "number"
            case Compare():
                self._compared(node)
            case In():
                for option in node.options:
                    self._pair(node.item, option)
                if not node.options:
                    self.kind(node.item)
            case IsNull():
                self.kind(node.item)
            case Both() | Either():
                self.condition(node.left)
                self.condition(node.right)
            case Negation():
                self.condition(node.part)
        return "truth"

    def _column(self, node: Name) -> Kind:
        names = self._schema.names
        if node.column not in names:
            alike = next((name for name in names if normalize("NFKC", name) == node.column), None)
            remedy = f"Write col({alike!r}): Python takes some characters for others." if alike else ""
            raise self._error(node, f"the input has no column '{node.column}'", remedy or nearest(node.column, names))
        return kind_of_type(self._schema.field(node.column).type)

    def _compared(self, node: Compare) -> None:
        kinds = self._pair(node.left, node.right)
        if "truth" in kinds and node.comparison not in ("==", "!="):
            raise self._error(node, f"{node.comparison} cannot compare conditions", "Use == or !=, or `and` and `not`.")

    def _pair(self, left: Node, right: Node) -> tuple[Kind, Kind]:
        one, other = self.kind(left), self.kind(right)
        if not comparable(one, other):
            shown = f"{self._shown(left, one)} and {self._shown(right, other)}"
            raise self._error(left, f"{shown} cannot be compared", self._remedy((left, one), (right, other)))
        return one, other

    def _shown(self, node: Node, kind: Kind) -> str:
        if isinstance(node, Name):
            return f"'{node.column}' ({self._schema.field(node.column).type})"
        return (
            f"{node} ({_WORDS[kind]})"
            if isinstance(node, Literal) and not isinstance(node.value, Instant)
            else (_WORDS[kind])
        )

    def _remedy(self, *pair: tuple[Node, Kind]) -> str:
        kinds = {kind for _, kind in pair}
        texts = [str(node.value) for node, kind in pair if kind == "text" and isinstance(node, Literal)]
        text = texts[0] if texts else None
        if "other" in kinds:
            return "Of such a column only `is None` and `is not None` can be asked."
        if kinds == {"text", "date"} and text is not None:
            return f"Write date({text!r})."
        if "text" in kinds and kinds & {"time", "zoned"} and text is not None:
            return f"Write datetime({text!r})."
        if kinds == {"number", "text"} and text is not None:
            return (
                f"Write {text} without quotes, if it is a number." if _is_number(text) else "Compare it with a number."
            )
        if "text" in kinds and kinds != {"text", "truth"}:
            return "Write the text in quotes."
        if "zoned" in kinds:
            return "Give the time its zone: datetime('2026-11-28T12:30:00+00:00')."
        return "Compare values of one kind."

    def _error(self, node: Node, what: str, remedy: str = "") -> WhereError:
        return WhereError(self._text, node.at, what, remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
