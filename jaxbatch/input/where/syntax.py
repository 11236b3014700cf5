"""Text → the parts of an expression. Python's own parser reads it; nothing in it is ever evaluated as Python."""

import ast
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any

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

MAX_DEPTH = 100
"""How deep parts may lie in each other; `a and b and c` lie side by side."""

MAX_BITS = 4096
"""Of an integer: Python writes those of more than some 14,000 bits for nobody."""

_COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_OPERATIONS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_UNIX = date(1970, 1, 1)
_FRACTION = re.compile(r"([.,])(\d{1,9})(?=$|[+\-Z])")
_TOO_FINE = re.compile(r"[.,]\d{10,}")
_PARTS = {
    ast.Tuple: "a tuple",
    ast.List: "a list",
    ast.IfExp: "`if … else`",
    ast.JoinedStr: "a text with {…} in it",
    ast.Lambda: "a function",
    ast.ListComp: "a comprehension",
    ast.Attribute: "a dot in a name",
    ast.Subscript: "[…] after a name",
    ast.NamedExpr: "an assignment",
}
_KNOWN = "Known are comparisons, in, is None, and, or, not, + - * /, date(…), datetime(…), texts and col(…)."


@lru_cache(8)
def parse_expression(text: str) -> Node:
    """The parts of an expression.

    Raises:
        WhereError: it is not Python, or uses more than a condition may.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an invalid escape in a text is a mistake, whatever Python's version says
            tree = ast.parse(f"(\n{text}\n)", mode="eval")
            ast.parse(f"[\n{text}\n]", mode="eval")  # where a bracket that the text did not open is a mistake
    except SyntaxError as error:
        at = _offset(text, (error.lineno or 2) - 2, (error.offset or 1) - 1)
        raise WhereError(text, at, f"it is no expression: {error.msg}", _KNOWN) from None
    except (ValueError, RecursionError, MemoryError, OverflowError, Warning) as error:
        raise WhereError(text, 0, f"it is no expression: {error or 'it is too long'}", _KNOWN) from None
    return _Reader(text).read(tree.body, 0)


def _offset(text: str, line: int, column: int) -> int:
    """Characters of ``text`` before a column of a line, both counted from 0."""
    lines = text.split("\n")
    if not 0 <= line < len(lines):
        return len(text) if line > 0 else 0
    return sum(len(each) + 1 for each in lines[:line]) + min(max(column, 0), len(lines[line]))


class _Reader:
    def __init__(self, text: str):
        self._text = text
        self._lines = text.split("\n")
        self._starts = [0, *accumulate(len(line) + 1 for line in self._lines)]

    def read(self, tree: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._refused(tree, "it is nested too deep", "Split it into conditions joined by `and`.")
        reader = _READERS.get(type(tree))
        if reader is None:
            empty = isinstance(tree, ast.Tuple) and not tree.elts
            what = "it is empty" if empty else f"{_PARTS.get(type(tree), 'this')} is not known here"
            raise self._refused(tree, what, _hint(tree))
        return reader(self, tree, depth + 1)

    def at(self, tree: ast.AST) -> int:
        line = tree.lineno - 2  # type: ignore[attr-defined]
        if not 0 <= line < len(self._lines):
            return 0
        column: int = tree.col_offset  # type: ignore[attr-defined]
        if not self._lines[line].isascii():  # Python counts bytes
            before = self._lines[line].encode("utf-8", "surrogatepass")[:column]
            column = len(before.decode("utf-8", "replace"))
        return self._starts[line] + column

    def _refused(self, tree: ast.AST, what: str, remedy: str = _KNOWN) -> WhereError:
        return WhereError(self._text, self.at(tree), what, remedy)

    def name(self, tree: ast.Name, depth: int) -> Node:
        del depth
        return Name(tree.id, self.at(tree))

    def constant(self, tree: ast.Constant, depth: int) -> Node:
        del depth
        value = tree.value
        if not isinstance(value, bool | int | float | str | None):
            raise self._refused(tree, f"{type(value).__name__} is no value of a column", _KNOWN)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self._refused(tree, "the integer is too large", f"Write one of at most {MAX_BITS} bits.")
        if isinstance(value, str) and not _is_unicode(value):
            raise self._refused(tree, "the text has half of a surrogate pair, which no file has", "Correct it.")
        return Literal(value, self.at(tree))

    def boolean(self, tree: ast.BoolOp, depth: int) -> Node:
        parts = [self.read(each, depth) for each in tree.values]
        join = Both if isinstance(tree.op, ast.And) else Either
        return _balanced(parts, lambda left, right: join(left, right, self.at(tree)))

    def unary(self, tree: ast.UnaryOp, depth: int) -> Node:
        part = self.read(tree.operand, depth)
        if isinstance(tree.op, ast.Not):
            return Negation(part, self.at(tree))
        if isinstance(tree.op, ast.Invert):
            raise self._refused(tree, "~ is not known here", "Write `not`.")
        minus = isinstance(tree.op, ast.USub)
        if isinstance(part, Literal) and isinstance(part.value, int | float) and not isinstance(part.value, bool):
            return Literal(-part.value if minus else part.value, self.at(tree))
        zero = Literal(-0.0, self.at(tree))
        return Arithmetic("-" if minus else "+", zero, part, self.at(tree))  # type: ignore[arg-type]

    def binary(self, tree: ast.BinOp, depth: int) -> Node:
        operation = _OPERATIONS.get(type(tree.op))
        if operation is None:
            raise self._refused(tree, "of operations only + - * / are known here", _hint(tree))
        left, right = self.read(tree.left, depth), self.read(tree.right, depth)
        return Arithmetic(operation, left, right, self.at(tree))  # type: ignore[arg-type]

    def compare(self, tree: ast.Compare, depth: int) -> Node:
        parts: list[Node] = []
        left = tree.left
        for operator, right in zip(tree.ops, tree.comparators, strict=True):
            parts.append(self._one(operator, left, right, depth))
            left = right
        return _balanced(parts, lambda one, other: Both(one, other, self.at(tree)))

    def _one(self, operator: ast.cmpop, left: ast.expr, right: ast.expr, depth: int) -> Node:
        at = self.at(left)
        if isinstance(operator, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List):
                raise self._refused(
                    right, "`in` needs a tuple or a list", "Write x in ('a', 'b'), or x in ('a',) for one."
                )
            options = tuple(self.read(each, depth) for each in right.elts)
            found = In(self.read(left, depth), options, at)  # type: ignore[arg-type]
            return Negation(found, at) if isinstance(operator, ast.NotIn) else found
        if isinstance(operator, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refused(right, "`is` is for None alone", "Compare by ==, or by != for `is not`.")
            found = IsNull(self.read(left, depth), at)  # type: ignore[arg-type]
            return Negation(found, at) if isinstance(operator, ast.IsNot) else found
        one, other = self.read(left, depth), self.read(right, depth)
        for each in (one, other):
            if isinstance(each, Literal) and each.value is None:
                raise WhereError(self._text, each.at, "nothing compares with None", "Write `is None` or `is not None`.")
        return Compare(_COMPARISONS[type(operator)], one, other, at)  # type: ignore[arg-type]

    def call(self, tree: ast.Call, depth: int) -> Node:
        del depth
        called = tree.func.id if isinstance(tree.func, ast.Name) else ""
        if called not in ("col", "date", "datetime") or tree.keywords:
            raise self._refused(tree, "only col(…), date(…) and datetime(…) can be called", _hint(tree))
        given = [self._plain(each) for each in tree.args]
        if called == "col":
            if len(given) != 1 or not isinstance(given[0], str):
                raise self._refused(tree, "col(…) takes the name of a column", 'For example: col("unit price").')
            return Name(given[0], self.at(tree))
        try:
            return Literal(_instant(called, given), self.at(tree))
        except (ValueError, TypeError, OverflowError) as error:
            example = "date(2026, 11, 28)" if called == "date" else "datetime(2026, 11, 28, 12, 30)"
            iso = example.split("(")[0] + ("('2026-11-28')" if called == "date" else "('2026-11-28T12:30:00')")
            raise self._refused(tree, f"{called}(…) gives none: {error}", f"Write {example} or {iso}.") from None

    def _plain(self, tree: ast.expr) -> Any:
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub) and isinstance(tree.operand, ast.Constant):
            value = tree.operand.value
            if isinstance(value, int):
                return -value
        if not isinstance(tree, ast.Constant):
            raise self._refused(tree, "a plain value is needed here", "Write a number or a text.")
        return tree.value


_READERS: dict[type[ast.expr], Callable[[_Reader, Any, int], Node]] = {
    ast.Name: _Reader.name,
    ast.Constant: _Reader.constant,
    ast.BoolOp: _Reader.boolean,
    ast.UnaryOp: _Reader.unary,
    ast.BinOp: _Reader.binary,
    ast.Compare: _Reader.compare,
    ast.Call: _Reader.call,
}


def _balanced(parts: Sequence[Node], join: Callable[[Node, Node], Node]) -> Node:
    """Many parts joined two by two, so that a long row of them does not lie deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return join(_balanced(parts[:middle], join), _balanced(parts[middle:], join))


def _instant(kind: str, given: Sequence[Any]) -> Instant:
    if any(isinstance(each, bool | float) for each in given):
        raise TypeError("whole numbers are needed")
    if kind == "date":
        day = date.fromisoformat(given[0]) if _is_text(given) else date(*given)
        return Instant((day - _UNIX).days * 86_400_000_000_000, is_date=True)
    text, finer = given[0] if _is_text(given) else "", 0
    if _TOO_FINE.search(text):
        raise ValueError("nanoseconds are the finest")
    if text:
        finer, text = _finer(text)
    moment = datetime.fromisoformat(text) if text else datetime(*given)
    has_zone = moment.tzinfo is not None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC if has_zone else None)
    return Instant(since // timedelta(microseconds=1) * 1000 + finer, is_date=False, has_zone=has_zone)


def _is_text(given: Sequence[Any]) -> bool:
    return len(given) == 1 and isinstance(given[0], str)


def _finer(text: str) -> tuple[int, str]:
    """The nanoseconds below the microsecond in a time in ISO's form, and the text without them."""
    found = _FRACTION.search(text)
    if found is None:
        return 0, text
    digits = found[2].ljust(9, "0")
    return int(digits[6:]), f"{text[: found.start()]}.{digits[:6]}{text[found.end() :]}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hint(tree: ast.expr) -> str:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitAnd | ast.BitOr):
        return f"Write `{'and' if isinstance(tree.op, ast.BitAnd) else 'or'}`."
    if isinstance(tree, ast.Attribute):
        return f"For a column of that name write col({ast.unparse(tree)!r})."
    return _KNOWN
