"""What a kernel knows of its input when it is bound: types, constants, and what the job says about columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jaxbatch.columns import Column, ColumnType
from jaxbatch.errors import InputError, JobError, nearest
from jaxbatch.job.toml import toml_key, toml_value
from jaxbatch.kernels.random_keys import ARGUMENT, DTYPE

_SHOWN = 60
"""How many letters of a default are shown."""


class DataProbe(Protocol):
    """The two questions about the data that a kernel may ask before the run."""

    def maximum(self, column: str) -> int | None:
        """The largest value of an integer column, or None if it has no value."""
        ...

    def length(self, column: str) -> int | None:
        """The length of the first list that is not null, or None if there is none."""
        ...


_OLD_NAMES = {"require_there": "require_columns", "peek": "probe"}
"""Former names of what a kernel's ``bind`` may use."""


@dataclass
class BindContext:
    """What is known of the input when a kernel is bound.

    A plan binds the kernel with a ``probe``, and a worker without one: it finds the same answers in ``answers``, and so
    binds the same kernel.
    """

    types: Mapping[str, ColumnType]
    """The input's columns by the kernel's names."""
    constants: Mapping[str, Any]
    """The job's ``[input] constants``."""
    precision: str
    """``"float32"`` or ``"float64"``."""
    folder: Path
    """The job's folder, in which references to functions are resolved."""
    platform: str = "cpu"
    """JAX's name for the kind of device that computes."""
    probe: DataProbe | None = None
    """Answers questions about the data; None in a worker."""
    answers: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """By question and column: the answers that the probe has given."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """The job's ``[input] columns``: the kernel's name of a column → its name in the files."""
    defaults: tuple[str, ...] = ()
    """The job's ``[input] defaults``: optional inputs that keep their defaults whatever columns there are."""
    seed: int | None = None
    """The job's ``[compute] seed``, with which the argument ``key`` of a function is the row's random key."""
    used: set[str] = field(default_factory=set)
    """The constants that an argument of a function has taken."""
    optional: dict[str, str] = field(default_factory=dict)
    """The optional inputs, with their defaults in words."""

    def __getattr__(self, name: str) -> Any:
        if name in _OLD_NAMES:
            raise JobError(
                f"The kernel uses '{name}', which is called '{_OLD_NAMES[name]}' now.", "Rename it in bind()."
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "probe": None}

    def is_random_key(self, argument: str) -> bool:
        """Whether an argument of a user's function is the row's random key: ``key``, where the job has a seed.

        Raises:
            JobError: it is, and the job gives it a column or a constant.
        """
        if argument != ARGUMENT or self.seed is None:
            return False
        self._check_random_key(argument, f" with seed = {self.seed}", ", or remove [compute] seed")
        return True

    def _check_random_key(self, name: str, why: str = "", other_way: str = "") -> None:
        if name in self.stored:
            given = f"[input] columns = {{ {toml_key(name)} = {toml_value(self.stored[name])} }}"
        elif name in self.constants:
            given = f"[input] constants = {{ {toml_key(name)} = {toml_value(self.constants[name])} }}"
        elif name in self.defaults:
            given = f"[input] defaults = {toml_value([name])}"
        else:
            return
        raise JobError(f"'{name}' is the row's random key{why}, and the job has {given}.", f"Remove that{other_way}.")

    def maximum(self, column: str) -> int:
        """The largest value of an integer column; 0 if it has no value."""
        return self._ask("maximum", column) or 0

    def length(self, column: str) -> int:
        """The length of a list column: of its type if that is fixed, else of the first list; 0 if there is none."""
        fixed = self.types[column].length
        return fixed if fixed is not None else self._ask("length", column) or 0

    def supplied(self, defaults: Mapping[str, Any], required: Collection[str] = ()) -> tuple[str, ...]:
        """The optional inputs of a kernel that a constant or a column supplies; the others keep their defaults.

        A column is not taken just because it has the name of an optional input: the job says whether it is meant. To be
        called once, for all of them.

        Args:
            defaults: the optional inputs by name, with their defaults.
            required: those of them that another function of the job has no default for.

        Raises:
            JobError: there is a column of such a name, and the job does not say whether it is meant.
        """
        self.optional.update({name: shown(value) for name, value in defaults.items()})
        decided = {*self.constants, *self.stored, *self.defaults}
        undecided = [name for name in defaults if name in self.types and name not in decided]
        if undecided:
            raise self._undecided(undecided, [name for name in undecided if name not in required])
        return tuple(name for name in defaults if name in self.constants or name in self.stored)

    def _undecided(self, names: Sequence[str], can_be_left: Sequence[str]) -> JobError:
        """The error that the job does not say whether columns are meant, with the lines to add to it."""
        several = len(names) > 1
        mapped = {**self.stored, **{name: name for name in names}}
        columns = ", ".join(f"{toml_key(own)} = {toml_value(stored)}" for own, stored in mapped.items())
        left = ", ".join(map(toml_value, dict.fromkeys([*self.defaults, *can_be_left])))
        return JobError(
            f"{', '.join(map(repr, names))} {'have defaults' if several else 'has a default'}, and the input has "
            f"{'columns of these names' if several else 'a column of that name'}: say which to use.",
            f"[input] columns = {{ {columns} }} uses the column{'s' * several}"
            + (f"; defaults = [{left}] keeps the default{'s' * several}." if can_be_left else "."),
        )

    def require_columns(self, *columns: str) -> None:
        """Check that each of ``columns`` is a column of the input or a constant, of any type.

        Raises:
            InputError: some are missing; it names them all.
        """
        missing = [column for column in columns if column not in self.types and column not in self.constants]
        if missing:
            raise self._missing(missing)

    def require_input(self, column: Column) -> None:
        """Check that a column of the right type, or a constant, supplies a kernel's input.

        Raises:
            InputError: the column is missing or of another type.
        """
        if column.dtype == DTYPE:
            self._check_random_key(column.name)
            return
        if column.name in self.constants:
            return
        if column.dtype == "string":
            self._require_string(column.name)
        else:
            self.require(column.name, depth=len(column.shape), dtype=column.dtype)

    def _require_string(self, column: str) -> None:
        if column not in self.types:
            raise self._missing([column])
        if self.types[column].kind != "string" or self.types[column].depth:
            found = self.types[column].name
            raise InputError(f"{self._named(column)} is {found}, but strings are needed.", "Cast it in the input.")

    def require(self, column: str, *, depth: int, dtype: str = "float") -> ColumnType:
        """Check that a column holds numbers for ``dtype`` in lists nested ``depth`` deep, and return its type.

        Raises:
            InputError: the column is missing or of another type.
        """
        if column not in self.types:
            raise self._missing([column])
        found = self.types[column]
        fits = found.kind == "int" if dtype == "int" else found.numeric or found.kind == dtype == "bool"
        if found.depth != depth or not fits:
            wanted = "list of " * depth + {"int": "integers", "bool": "booleans"}.get(dtype, "numbers")
            raise InputError(
                f"{self._named(column)} is {found.name}, but {wanted} {'is' if depth else 'are'} needed.",
                "Cast it in the input, or map another column in [input] columns.",
            )
        return found

    def _missing(self, missing: Sequence[str]) -> InputError:
        one = len(missing) == 1
        near = nearest(missing[0], list(self.types)) if one else f"Known: {', '.join(sorted(self.types))}."
        mapped = ", ".join(f'{toml_key(column)} = "…"' for column in missing)
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
            assert self.probe is not None, "a worker asks what the plan has not asked"
            self.answers[key] = getattr(self.probe, question)(column)
        return self.answers[key]


def shown(value: Any) -> str:
    """A default in a few words, which are the same in every process."""
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
