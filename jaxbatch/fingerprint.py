"""The identity of a run: everything that can change a bit of its output, and nothing else."""

import ast
import hashlib
import importlib.metadata
import inspect
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jaxbatch import __version__
from jaxbatch.compiled import Programs
from jaxbatch.errors import JobError
from jaxbatch.instructions import of_this_processor
from jaxbatch.kernel import Kernel
from jaxbatch.traced import Traced, precision, representative, trace

_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")


_CALLBACKS = ("pure_callback", "io_callback")


def fingerprint(identity: Mapping[str, Any]) -> str:
    """The SHA-256 of an identity, in hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def code_identity(kernel: Kernel, programs: Programs) -> dict[str, Any]:
    """What the code of this process would compute: the part of an identity that every worker checks for itself.

    Args:
        kernel: as the job has it, before it was bound to an input.
        programs: those of the bound kernel.

    Raises:
        JobError: the function cannot be traced, or calls back into Python.
    """
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "pyarrow")}
    return {
        "program": program_digest(programs.representative()),
        "kernel": host_code_digest(type(kernel)),
        "versions": {"jaxbatch": __version__, **versions},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "instructions": of_this_processor(),
    }


def check_pure(programs: Programs) -> None:
    """Trace the first program once more. What a worker traces is compared with the plan, so only planning need ask.

    Raises:
        JobError: it is another program then.
    """
    first = representative(programs.kernel)[0]
    with precision(programs.dtype, programs.kernel):
        again = trace(programs.kernel, first, programs.dtype)
    if program_digest([again]) != program_digest([programs.traced(first)]):
        raise JobError(
            f"{programs.kernel.describe_bucket(first.bucket)} traces to another program each time.",
            "It uses the time, random numbers or a global that changes: make it a pure function of its arguments.",
        )


def program_digest(programs: Iterable[Traced]) -> str:
    """A digest of traced programs with every constant in them.

    Traced, so that helpers and loaded weights count while names and comments do not.
    """
    writer = _JaxprWriter()
    for traced in programs:
        writer.closed(traced.jaxpr)
    return writer.hexdigest()


def host_code_digest(kernel: type[Kernel]) -> str | None:
    """A digest of what a user's own kernel does outside the traced program: choose buckets and sizes.

    The modules that define its classes as Python parses them, so comments and layout do not count; docstrings are
    taken out. None for the kernels of this package, for which its version stands.
    """
    own = [each for each in kernel.__mro__ if issubclass(each, Kernel) and not each.__module__.startswith("jaxbatch.")]
    if not own:
        return None
    files = dict.fromkeys(inspect.getfile(each) for each in own)
    trees = [ast.parse(Path(file).read_text(encoding="utf-8")) for file in files]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256("".join(map(ast.dump, trees)).encode()).hexdigest()


class _JaxprWriter:
    """Feeds a jaxpr to a hash: primitives, parameters, shapes and constants, variables by number.

    The printed form will not do: it shortens large constants and shows addresses of functions.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def closed(self, jaxpr: Any) -> None:
        self._open(jaxpr.jaxpr)
        for constant in jaxpr.consts:
            self._value(constant)

    def _open(self, jaxpr: Any) -> None:
        numbers: dict[Any, int] = {}

        def number(variable: Any) -> None:
            if isinstance(variable, core.Literal):
                self._text(f"literal {variable.aval.str_short()}")
                self._value(variable.val)
            else:
                self._text(f"v{numbers.setdefault(variable, len(numbers))}:{variable.aval.str_short()}")

        for variable in (*jaxpr.constvars, *jaxpr.invars):
            number(variable)
        for equation in jaxpr.eqns:
            if equation.primitive.name in _CALLBACKS:
                raise JobError(
                    f"The function calls back into Python ({equation.primitive.name}), so it is not pure JAX.",
                    "Compute with jax.numpy; what a callback does cannot be part of the run's identity.",
                )
            self._text(equation.primitive.name)
            for name in sorted(equation.params):
                if name != "name":
                    self._text(name)
                    self._value(equation.params[name])
            for variable in (*equation.invars, *equation.outvars):
                number(variable)
        for variable in jaxpr.outvars:
            number(variable)

    def _value(self, value: Any) -> None:
        if isinstance(value, core.ClosedJaxpr):
            self.closed(value)
        elif isinstance(value, core.Jaxpr):
            self._open(value)
        elif isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            self._text(str(jax.random.key_impl(value)))
            self._value(jax.random.key_data(value))
        elif isinstance(value, jax.Array | np.ndarray | np.generic):
            array = np.asarray(value)
            self._text(f"{array.dtype}{array.shape}")
            self._hash.update(np.ascontiguousarray(array).tobytes())
        elif isinstance(value, tuple | list):
            self._text(f"{type(value).__name__}{len(value)}")
            for item in value:
                self._value(item)
        elif isinstance(value, set | frozenset):
            self._value(sorted(value, key=str))
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                self._text(str(key))
                self._value(value[key])
        elif callable(value) and not isinstance(value, type):
            self._text(getattr(value, "__qualname__", type(value).__name__))
        else:
            self._text(f"{type(value).__name__} {_ADDRESS.sub('', str(value))}")

    def _text(self, text: str) -> None:
        self._hash.update(text.encode() + b"\0")
