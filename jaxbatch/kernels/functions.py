"""The user's functions: ``"package.module:name"`` or ``"file.py:name"`` to a callable, its arguments known."""

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from jaxbatch import user_code
from jaxbatch.errors import JobError, nearest
from jaxbatch.kernels.trace_errors import explain_trace_error

_SHOWN = 8
"""Of the columns that nothing uses so many are named."""


def resolve(reference: str, folder: Path) -> Any:
    """The object that ``reference`` names.

    Args:
        reference: ``"package.module:name"``, or ``"file.py:name"`` with the file relative to ``folder``.
        folder: the job's folder; modules that lie in it can be imported too.

    Raises:
        JobError: there is no such module, file or name, or importing it fails.
    """
    module, name = _module(reference, folder)
    found: Any = module
    for attribute in name.split("."):
        if not hasattr(found, attribute):
            names = [n for n in vars(module) if not n.startswith("_")]
            hint = nearest(name, get_close_matches(name, names) or names[:12])
            raise JobError(f"'{reference}': {reference.rpartition(':')[0]} has no '{name}'.", hint)
        found = getattr(found, attribute)
    return found


def module_of(reference: str, folder: Path) -> str:
    """The name in ``sys.modules`` of the module in which ``reference`` names something; see :func:`resolve`."""
    return _module(reference, folder)[0].__name__


def _module(reference: str, folder: Path) -> tuple[ModuleType, str]:
    target, colon, name = reference.rpartition(":")
    if not (colon and target and name):
        raise JobError(f"'{reference}' does not name a function.", _with_colon(reference, folder))
    if target.endswith(".py"):
        return _load_file(folder / target, reference, folder), name
    return _import(target, reference, folder), name


def _with_colon(reference: str, folder: Path) -> str:
    file, dot, name = reference.removesuffix("()").rpartition(".")
    path = f"{file.removesuffix('.py').replace('.', '/')}.py"
    if dot and name != "py" and (folder / path).is_file():
        return f"Did you mean '{path}:{name}'?"
    return 'Write "package.module:name" or "file.py:name".'


def _import(target: str, reference: str, folder: Path) -> ModuleType:
    try:
        return user_code.load_name(target, folder)
    except JobError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error


def _load_file(path: Path, reference: str, folder: Path) -> ModuleType:
    path = Path(os.path.abspath(path))
    if not path.is_file():
        raise JobError(f"'{reference}': there is no file {path}.", "Paths start at the job file's folder.")
    try:
        return user_code.load_file(path, folder)
    except JobError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error


def _failed(reference: str, error: BaseException) -> JobError:
    return JobError(
        user_code.with_plain_names(
            f"'{reference}' cannot be imported: {type(error).__name__}: {error}".splitlines()[0]
        ),
        "Check the name, and that the module is installed or lies in the job's folder.",
    )


@dataclass(frozen=True)
class BoundFunction:
    """A function of named columns: every other argument already has its value.

    ``columns`` are the arguments that a row supplies, in the function's own order; ``constants`` are fixed, the
    ``given`` ones by the job, the others by the function's own defaults.
    """

    reference: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    positional: frozenset[str]
    columns: tuple[str, ...]
    constants: Mapping[str, Any]
    given: frozenset[str]

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Call with a value for each of ``columns``; a value for a constant replaces it."""
        merged = {**self.constants, **values}
        by_position = [merged[name] for name in self.arguments if name in self.positional and name in merged]
        by_name = {name: merged[name] for name in merged if name not in self.positional}
        try:
            result = self.function(*by_position, **by_name)
        except jax.errors.JAXTypeError:  # of a traced value, and so none of texts
            raise
        except TypeError as error:
            text = next((name for name in self.arguments if name in self.given and isinstance(merged[name], str)), None)
            if text is None:
                raise
            raise JobError(
                f"'{self.reference}' cannot be traced{explain_trace_error(error)[0]}; its argument '{text}' is the "
                f'text "{merged[text]}".',
                "For a number, write it without quotes.",
            ) from error
        if result is None:
            raise JobError(f"'{self.reference}' returns nothing.", "Is there a 'return' in it?")
        return result


def arguments(reference: str, folder: Path) -> list[inspect.Parameter]:
    """The named parameters of the function that ``reference`` names, in its own order.

    Raises:
        JobError: it is no function, or hides its arguments behind ``*args``.
    """
    return _parameters(reference, resolve(reference, folder))


def _parameters(reference: str, function: Any) -> list[inspect.Parameter]:
    if not callable(function):
        raise JobError(f"'{reference}' is not a function but a {type(function).__name__}.", "Name a function.")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise JobError(
            f"'{reference}' does not declare its arguments.", "Wrap it in a def with named arguments."
        ) from None
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        raise JobError(f"'{reference}' takes *{parameters[0].name}.", "Wrap it in a def with named arguments.")
    return named


def bind(reference: str, folder: Path, columns: Collection[str], constants: Mapping[str, Any]) -> BoundFunction:
    """Match a function's arguments with constants, columns and its own defaults, in that order.

    Raises:
        JobError: an argument has none of the three.
    """
    function = resolve(reference, folder)
    parameters = _parameters(reference, function)
    from_rows: list[str] = []
    missing: list[str] = []
    fixed: dict[str, Any] = {}
    for parameter in parameters:
        name = parameter.name
        if name in constants:
            fixed[name] = constants[name]
        elif name in columns:
            from_rows.append(name)
        elif parameter.default is not parameter.empty:
            fixed[name] = parameter.default
        else:
            missing.append(name)
    if missing:
        others = [column for column in columns if column not in {p.name for p in parameters}]
        idle = [f"the constant {name}" for name in constants if name not in {p.name for p in parameters}]
        raise _without_values(reference, missing, others, idle)
    return BoundFunction(
        reference,
        function,
        tuple(p.name for p in parameters),
        frozenset(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY),
        tuple(from_rows),
        fixed,
        frozenset(fixed) & frozenset(constants),
    )


def _without_values(reference: str, missing: Sequence[str], others: Sequence[str], idle: Sequence[str]) -> JobError:
    """The complaint of arguments for which there is nothing, where no argument is named as some ``others``, columns,
    or takes what is ``idle``."""
    plural = len(missing) > 1
    named = ", ".join(f"'{name}'" for name in missing)
    mapped = ", ".join(f'{name} = "{_alike(name, others) or "…"}"' for name in missing)
    unused = [*idle, *([] if all(_alike(name, others) for name in missing) else others)]
    return JobError(
        f"'{reference}': the argument{'s' * plural} {named} {'have' if plural else 'has'} neither a column nor a "
        "constant.",
        f"Map a column, [input] columns = {{ {mapped} }}, or set constants = {{ {missing[0]} = … }}."
        + (f" Not used: {_few(unused)}." if unused else ""),
    )


def _alike(name: str, columns: Sequence[str]) -> str | None:
    """The column that is meant by a name, if any looks so."""
    starts = [column for column in columns if min(len(name), len(column)) > 1 and _starts(name.lower(), column.lower())]
    return next(iter([*starts, *get_close_matches(name, columns, n=1)]), None)


def _starts(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def bind_one(reference: str, folder: Path, constants: Mapping[str, Any]) -> BoundFunction:
    """Bind a function of one argument: the one that has neither a constant nor a default.

    Raises:
        JobError: there is not exactly one.
    """
    parameters = [p for p in arguments(reference, folder) if p.name not in constants]
    free = [p.name for p in parameters if p.default is p.empty] or [p.name for p in parameters[:1]]
    if len(free) != 1:
        raise JobError(
            f"'{reference}' has {len(free)} free arguments ({', '.join(free)}), but must have one.",
            "Set the others in [input] constants.",
        )
    return bind(reference, folder, free, constants)
