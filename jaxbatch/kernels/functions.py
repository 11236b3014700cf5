"""The user's functions: from ``"package.module:name"`` or ``"file.py:name"`` to a callable with bound arguments."""

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxbatch import user_code
from jaxbatch.errors import JobError, nearest
from jaxbatch.kernels.trace_errors import explain_trace_error

_SHOWN = 8
"""How many unused columns an error names."""


def resolve(reference: str, folder: Path) -> Any:
    """The object that ``reference`` names.

    Args:
        reference: ``"package.module:name"``, or ``"file.py:name"`` with the file relative to ``folder``.
        folder: the job's folder; modules in it can be imported too.

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
    try:
        if target.endswith(".py"):
            return user_code.load_file(_existing(folder / target, reference), folder), name
        return user_code.load_name(target, folder), name
    except JobError:
        raise
    except (Exception, SystemExit) as error:
        what = f"'{reference}' cannot be imported: {type(error).__name__}: {error}".splitlines()[0]
        raise JobError(
            user_code.with_plain_names(what),
            "Check the name, and that the module is installed or lies in the job's folder.",
        ) from error


def _existing(path: Path, reference: str) -> Path:
    path = Path(os.path.abspath(path))
    if not path.is_file():
        raise JobError(f"'{reference}': there is no file {path}.", "Paths start at the job file's folder.")
    return path


def _with_colon(reference: str, folder: Path) -> str:
    file, dot, name = reference.removesuffix("()").rpartition(".")
    path = f"{file.removesuffix('.py').replace('.', '/')}.py"
    if dot and name != "py" and (folder / path).is_file():
        return f"Did you mean '{path}:{name}'?"
    return 'Write "package.module:name" or "file.py:name".'


@dataclass(frozen=True)
class BoundFunction:
    """A function of named columns, whose other arguments have fixed values."""

    reference: str
    """How the job names it."""
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    """All named arguments, in the function's own order."""
    positional: frozenset[str]
    """The arguments that must be passed by position."""
    columns: tuple[str, ...]
    """The arguments that a row supplies, in the function's own order."""
    constants: Mapping[str, Any]
    """The other arguments with their values: constants of the job, or the function's defaults."""
    given: frozenset[str]
    """Those of them that are constants of the job."""

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Call the function with a value for each of ``columns``; a value for one of ``constants`` replaces it.

        Raises:
            JobError: it returns None, or fails on an argument that the job gives as text.
        """
        import jax

        merged = {**self.constants, **values}
        by_position = [merged[name] for name in self.arguments if name in self.positional and name in merged]
        by_name = {name: merged[name] for name in merged if name not in self.positional}
        try:
            result = self.function(*by_position, **by_name)
        except jax.errors.JAXTypeError:  # about a traced value, which no text is
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
    """The named arguments of the function that ``reference`` names, in its own order.

    Raises:
        JobError: it is no function, or takes its arguments as ``*args``.
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
    """Give each argument of a function a constant, a column or its own default, the first of these that there is.

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
        raise _missing(reference, missing, others, idle)
    return BoundFunction(
        reference,
        function,
        tuple(p.name for p in parameters),
        frozenset(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY),
        tuple(from_rows),
        fixed,
        frozenset(fixed) & frozenset(constants),
    )


def _missing(reference: str, missing: Sequence[str], others: Sequence[str], idle: Sequence[str]) -> JobError:
    """The error for arguments without a value.

    Args:
        reference: of the function.
        missing: the arguments.
        others: columns that have the name of no argument.
        idle: the constants that have the name of no argument, in words.
    """
    plural = len(missing) > 1
    named = ", ".join(f"'{name}'" for name in missing)
    mapped = ", ".join(f'{name} = "{_alike(name, others) or "…"}"' for name in missing)
    seeded = f" For a random key of each row set [compute] seed{' as well' * plural}." if "key" in missing else ""
    unused = [*idle, *([] if all(_alike(name, others) for name in missing) else others)]
    return JobError(
        f"'{reference}': the argument{'s' * plural} {named} {'have' if plural else 'has'} neither a column nor a "
        "constant.",
        f"Map a column, [input] columns = {{ {mapped} }}, or set constants = {{ {missing[0]} = … }}.{seeded}"
        + (f" Not used: {_few(unused)}." if unused else ""),
    )


def _alike(name: str, columns: Sequence[str]) -> str | None:
    """The column whose name is most like ``name``, if one is like it."""
    starts = [column for column in columns if min(len(name), len(column)) > 1 and _starts(name.lower(), column.lower())]
    return next(iter([*starts, *get_close_matches(name, columns, n=1)]), None)


def _starts(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def bind_one(reference: str, folder: Path, constants: Mapping[str, Any], random: Sequence[str] = ()) -> BoundFunction:
    """Bind a function of one free argument: the only one that has neither a constant nor a default.

    Arguments that are ``random`` keys are taken from the row too.

    If all have a default, it is the first that has no constant.

    Raises:
        JobError: several arguments are free, or none.
    """
    parameters = [p for p in arguments(reference, folder) if p.name not in (*constants, *random)]
    free = [p.name for p in parameters if p.default is p.empty] or [p.name for p in parameters[:1]]
    if len(free) != 1:
        raise JobError(
            f"'{reference}' has {len(free)} free arguments ({', '.join(free)}), but must have one.",
            "Set the others in [input] constants.",
        )
    return bind(reference, folder, [*free, *random], constants)
