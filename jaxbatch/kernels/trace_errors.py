"""Why a user's function could not be traced: the line in it, the shapes that it was given, and one hint."""

import linecache
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxbatch.errors import nearest

if TYPE_CHECKING:
    import jax

_PACKAGE = Path(__file__).parent.parent
"""The folder of jaxbatch: a line in it is not the user's."""

_HINTS = {
    "TracerBoolConversionError": "A row's values are not known while it is traced: use jnp.where(condition, a, b) or "
    "jax.lax.cond instead of 'if'.",
    "TracerArrayConversionError": "NumPy cannot take a traced value: use jax.numpy instead.",
    "TracerIntegerConversionError": "A row's values are not known while it is traced: no size, range or list index can "
    "depend on them; use jax.lax.fori_loop or jnp.take.",
    "NonConcreteBooleanIndexError": "The number of entries a mask selects is not known while a row is traced: use "
    "jnp.where(mask, value, 0) instead.",
    "ConcretizationTypeError": "A row's values are not known while it is traced: float(), int() and sizes cannot "
    "depend on them; compute with jax.numpy.",
    "UnexpectedTracerError": "The function kept a traced value of an earlier call: return results instead.",
}
"""What to do about the errors of :mod:`jax.errors`, by name; where one is a subclass of another, it comes first."""

_ANY = "It must be a pure JAX function of one row. Use --debug for the traceback."


def explain_trace_error(
    error: BaseException, given: "Mapping[str, jax.ShapeDtypeStruct] | None" = None
) -> tuple[str, str]:
    """What went wrong, such as ``at functions.py, line 7, 'return …': TypeError: …``, and a hint.

    The line is the innermost one of the user's own code, if there is one.

    Args:
        error: as tracing raised it.
        given: the shapes and types of the arguments, to be named too.
    """
    what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
    shapes = ", ".join(f"{name}: {struct.dtype}{list(struct.shape)}" for name, struct in (given or {}).items())
    return f"{_place(error)}: {what}" + (f" (given {shapes})" if shapes else ""), _hint(error)


def _place(error: BaseException) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and _PACKAGE not in path.parents and path.is_file():
            line = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f" at {path.name}, line {frame.lineno}" + (f", '{line[:60]}'" if line else "")
    return ""


def _hint(error: BaseException) -> str:
    import jax
    import jax.numpy as jnp

    for name, hint in _HINTS.items():
        if isinstance(error, getattr(jax.errors, name)):
            return hint
    if isinstance(error, AttributeError) and error.obj is jnp and error.name:
        return nearest(error.name, _names(jnp))
    return _ANY


def _names(module: Any) -> list[str]:
    return [name for name in dir(module) if not name.startswith("_")]
