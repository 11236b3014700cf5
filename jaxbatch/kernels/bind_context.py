"""What a kernel may know of its input while it is bound: types, constants, and what the job says of its columns."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jaxbatch.columns import Column, ColumnType
from jaxbatch.errors import InputError, JobError, nearest

_SHOWN = 60
"""So many letters of a default."""


class DataProbe(Protocol):
    """The two questions about data that a kernel may ask before the run."""

    def maximum(self, column: str) -> int | None:
        """The largest value of an integer column, or None without a value."""
        ...

    def length(self, column: str) -> int | None:
        """The length of the first list that is not null, or None without one."""
        ...


@dataclass
class BindContext:
    """What is known of the input when a kernel is bound: types by the kernel's names, constants, precision.

    Answers drawn from the data are remembered in ``answers``, so that a worker, which gets no ``peek``,
    binds the same kernel.
    """

    types: Mapping[str, ColumnType]
    constants: Mapping[str, Any]
    precision: str
    folder: Path
    probe: DataProbe | None = None
    answers: dict[tuple[str, str], int | None] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    """The files' own names for columns that the job maps."""
    defaults: tuple[str, ...] = ()
    """What the job leaves at its default, whatever columns there are."""
    used: set[str] = field(default_factory=set)
    """The constants that an argument of a function took."""
    optional: dict[str, str] = field(default_factory=dict)
    """What has a default, and that in words."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "peek": None}

    def maximum(self, column: str) -> int:
        """The largest value of an integer column; 0 where there is none."""
        return self._ask("maximum", column) or 0

    def length(self, column: str) -> int:
        """The one length of a list column: the type's, else that of the first list; 0 where there is none."""
        fixed = self.types[column].length
        return fixed if fixed is not None else self._ask("length", column) or 0

    def supplied(self, defaults: Mapping[str, Any], required: Collection[str] = ()) -> tuple[str, ...]:
        """Those of a kernel's optional inputs that a constant or a column supplies; the others keep their defaults.

        A column is not taken just because it has the name of one: the job says whether it is meant. To be asked once,
        for all of them.

        Args:
            defaults: the names of the optional inputs, and what each is where nothing supplies it.
            required: those among them that something else cannot do without.

        Raises:
            JobError: the job does not say it of a column.
        """
        self.optional.update({name: shown(value) for name, value in defaults.items()})
        decided = {*self.constants, *self.stored, *self.defaults}
        undecided = [name for name in defaults if name in self.types and name not in decided]
        if undecided:
            raise self._undecided(undecided, [name for name in undecided if name not in required])
        return tuple(name for name in defaults if name in self.constants or name in self.stored)

    def _undecided(self, names: Sequence[str], can_be_left: Sequence[str]) -> JobError:
        """The complaint that the job does not say whether columns are meant, with the lines to put in."""
        several = len(names) > 1
        mapped = {**self.stored, **{name: name for name in names}}
        columns = ", ".join(f"{_key(own)} = {_text(stored)}" for own, stored in mapped.items())
        left = ", ".join(map(_text, dict.fromkeys([*self.defaults, *can_be_left])))
        return JobError(
            f"{', '.join(map(repr, names))} {'have defaults' if several else 'has a default'}, and the input has "
            f"{'columns of these names' if several else 'a column of that name'}: say which to use.",
            f"[input] columns = {{ {columns} }} uses the column{'s' * several}"
            + (f"; defaults = [{left}] keeps the default{'s' * several}." if can_be_left else "."),
        )

    def require_columns(self, *columns: str) -> None:
        """Check that the files or constants have some columns, whatever their types.

        Raises:
            InputError: they do not; all that are missing are named.
        """
        missing = [column for column in columns if column not in self.types and column not in self.constants]
        if missing:
            raise self._without(missing)

    def require_input(self, column: Column) -> None:
        """Check that the files or a constant supply a kernel's input, of the right type.

        Raises:
            InputError: they do not.
        """
        if column.name in self.constants:
            return
        if column.dtype == "string":
            self._require_string(column.name)
        else:
            self.require(column.name, depth=len(column.shape), dtype=column.dtype)

    def _require_string(self, column: str) -> None:
        if column not in self.types:
            raise self._without([column])
        if self.types[column].kind != "string" or self.types[column].depth:
            found = self.types[column].name
            raise InputError(f"{self._named(column)} is {found}, but strings are needed.", "Cast it in the input.")

    def require(self, column: str, *, depth: int, dtype: str = "float") -> ColumnType:
        """The type of a column that must hold numbers for a ``dtype`` in lists nested ``depth`` deep.

        Raises:
            InputError: the column is missing or of another type.
        """
        if column not in self.types:
            raise self._without([column])
        found = self.types[column]
        fits = found.kind == "int" if dtype == "int" else found.numeric or found.kind == dtype == "bool"
        if found.depth != depth or not fits:
            wanted = "list of " * depth + {"int": "integers", "bool": "booleans"}.get(dtype, "numbers")
            raise InputError(
                f"{self._named(column)} is {found.name}, but {wanted} {'is' if depth else 'are'} needed.",
                "Cast it in the input, or map another column in [input] columns.",
            )
        return found

    def _without(self, missing: Sequence[str]) -> InputError:
        one = len(missing) == 1
        near = nearest(missing[0], list(self.types)) if one else f"Known: {', '.join(sorted(self.types))}."
        mapped = ", ".join(f'{column} = "…"' for column in missing)
        return InputError(
            f"The input has no column {', '.join(map(repr, missing))}.",
            f"{near} Or map {'it' if one else 'them'}: [input] columns = {{ {mapped} }}.",
        )

    def _named(self, column: str) -> str:
        stored = self.stored.get(column, column)
        return f"Column '{stored}'" + (f" (the kernel's '{column}')" if stored != column else "")

    def _ask(self, question: str, column: str) -> int | None:
        key = (question, column)
        if key not in self.answers:
            assert self.probe is not None, "a worker asked what the plan did not"
            self.answers[key] = getattr(self.probe, question)(column)
        return self.answers[key]


def shown(value: Any) -> str:
    """A default in few words, the same in every process."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{shown(each)} for {name}" for name, each in value.items())
    elif value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(name := getattr(value, "__name__", None), str):  # of functions, and of types such as np.float32
        text = name
    elif isinstance(shape := getattr(value, "shape", None), tuple) and hasattr(value, "dtype"):
        text = f"{value.dtype}{list(shape)}"
    else:
        text = type(value).__name__
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _key(name: str) -> str:
    """A name as a key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
