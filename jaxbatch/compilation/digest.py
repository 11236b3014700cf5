"""The digest of a traced program: of its primitives, parameters, shapes and constants, without names and comments.

The program is traced, so that helper functions and loaded weights count. Its printed form would not do: it shortens
large constants and shows addresses of functions.
"""

import enum
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax._src.interpreters import mlir  # how primitives are lowered has no public name
from jax.extend import core
from jax.extend.core import primitives

from jaxbatch.compilation.weights import Weight, contents
from jaxbatch.errors import JobError
from jaxbatch.jaxpr_walk import equations
from jaxbatch.user_code import with_plain_names

_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")

_CALLBACKS = ("pure_callback", "io_callback")

_FOREIGN = "ffi_call"
"""The primitive that calls compiled code from elsewhere."""

_GENERATORS = ("key<fry>", "key<rbg>", "key<urbg>")
"""JAX's own generators of random numbers, by the types of their keys."""

_KNOWN_CODE = frozenset({"jax", "jaxlib", "jaxbatch", "numpy", "builtins", "functools"})
"""Packages for whose code their versions stand."""

_REVERSED = "custom_lin"
"""The primitive that results when a function with a rule for reverse mode only is differentiated forward: it cannot be
compiled."""

_DERIVATIVES = ("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees")
"""Parameters that say how to differentiate, which is never done to a program once it is traced."""

_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, enum.Enum, np.dtype, jax.tree_util.PyTreeDef),
    *(jax.lax.ConvDimensionNumbers, jax.lax.GatherDimensionNumbers, jax.lax.ScatterDimensionNumbers),
)
"""Types of values that their text describes completely."""

_UNSPECIFIED = "UnspecifiedValue"
"""The name of JAX's class for a sharding that is not given; the class is not public."""

_KNOWN = frozenset(each for each in vars(primitives).values() if isinstance(each, core.Primitive))
"""JAX's own primitives, for which its version stands."""

_LAPACK = frozenset(
    [
        *("cholesky", "eig", "eigh", "geqp3", "geqrf", "hessenberg", "householder_product", "lu", "ormqr", "qr"),
        *("schur", "svd", "triangular_solve", "tridiagonal", "tridiagonal_solve"),
    ]
)
"""Primitives that are calls to LAPACK or BLAS on a CPU."""


@dataclass(frozen=True)
class Digest:
    """The digest of a jaxpr, and how much it covers."""

    hexadecimal: str
    """SHA-256."""
    code: str
    """SHA-256 without the contents of weights: the programs of two sets of weights are the same."""
    complete: bool
    """Whether it decides what the program compiles to. It does not if a part of the program counts by its name alone: a
    batching rule, a primitive that is not JAX's, or a generator of random numbers."""
    foreign: bool
    """Whether such a part belongs to a package other than JAX and jaxbatch, whose version is not in the identity."""


def digest(jaxpr: Any) -> Digest:
    """The digest of a closed jaxpr, with every constant in it. For large ones there may be a :class:`Weight`.

    Raises:
        JobError: it calls back into Python, or is differentiated in a way for which it has no rule.
    """
    writer = _Writer()
    writer.closed(jaxpr)
    code = writer.hexdigest()
    whole = [code, *(weight.digest for weight in writer.weights)]
    hexadecimal = hashlib.sha256(" ".join(whole).encode()).hexdigest() if writer.weights else code
    return Digest(hexadecimal, code, writer.complete, writer.foreign)


def calls_lapack(jaxpr: Any) -> bool:
    """Whether a jaxpr, or one inside it, calls LAPACK or BLAS if it is computed on a CPU."""
    return any(equation.primitive.name in _LAPACK for equation in equations(jaxpr))


class _Writer:
    """Feeds a jaxpr to a hash, with its variables numbered in order of appearance."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.complete = True
        self.foreign = False
        self.weights: dict[Weight, int] = {}
        """The weights by order of appearance."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def closed(self, jaxpr: Any) -> None:
        self._open(jaxpr.jaxpr)
        for constant in jaxpr.consts:
            self._value(constant)

    def _open(self, jaxpr: Any) -> None:
        numbers: dict[Any, int] = {}
        contexts: dict[Any, int] = {}

        def number(variable: Any) -> None:
            kind = getattr(variable.aval, "dtype", None)
            self.complete &= isinstance(kind, np.dtype)
            if kind is not None and jax.dtypes.issubdtype(kind, jax.dtypes.prng_key):
                self.foreign |= str(kind) not in _GENERATORS
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
                    "Compute with jax.numpy: the run's identity cannot cover what a callback does.",
                )
            if equation.primitive.name == _REVERSED:
                raise JobError(
                    "The function is differentiated in forward mode through a jax.custom_vjp function, which has a "
                    "rule for reverse mode only.",
                    "Give it a jax.custom_jvp rule, or keep the function itself out of its own rule.",
                )
            self._text(equation.primitive.name)
            self.complete &= equation.primitive in _KNOWN
            if equation.primitive not in _KNOWN:
                self.foreign |= not _is_ours(equation.primitive)
            self.foreign |= equation.primitive.name == _FOREIGN
            if equation.ctx not in contexts:
                self._text(repr(equation.ctx))
            self._text(f"in {contexts.setdefault(equation.ctx, len(contexts))}")
            for name in sorted(equation.params):
                if name in _DERIVATIVES:
                    self._text(f"{name} {_name(equation.params[name])}")
                elif name != "name":
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
        elif isinstance(value, Weight):
            self._text(f"{value} {self.weights.setdefault(value, len(self.weights))}")
        elif isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            self._text(str(jax.random.key_impl(value)))
            self._value(jax.random.key_data(value))
        elif isinstance(value, jax.Array | np.ndarray | np.generic):
            self._text(f"{value.dtype}{value.shape}")
            self._hash.update(contents(value))
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
        elif isinstance(value, type):
            self._text(with_plain_names(f"type {value.__module__}.{value.__qualname__}"))
        elif isinstance(value, _PLAIN) or type(value).__name__ == _UNSPECIFIED:
            self._text(f"{type(value).__name__} {value}")
        elif isinstance(value, jax.sharding.Mesh) and value.empty:  # which every jit has
            self._text("no mesh")
        else:
            self.complete = False
            self.foreign |= not _packages(value) <= _KNOWN_CODE
            text = f"{type(value).__name__} {_ADDRESS.sub('', with_plain_names(str(value)))}"
            self._text(_name(value) if callable(value) else text)

    def _text(self, text: str) -> None:
        self._hash.update(text.encode() + b"\0")


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


@functools.cache
def _is_ours(primitive: core.Primitive) -> bool:
    """Whether a primitive is JAX's or jaxbatch's, judged by the functions that give its shapes and its lowering.

    JAX's public list leaves out a hundred of its own primitives. And another package's primitive may take a function of
    JAX for its shapes, so the shapes alone do not decide.
    """
    rules = [primitive.abstract_eval, *(each.get(primitive) for each in (mlir._lowerings, *_by_platform()))]
    return all(_packages(getattr(each, "rule", each)) <= _KNOWN_CODE for each in rules if each is not None)


def _by_platform() -> Iterable[Mapping[core.Primitive, Any]]:
    return list(mlir._platform_specific_lowerings.values())


def _packages(value: Any) -> set[str]:
    """The packages of a value, and if it is a function those of the functions that it wraps or closes over.

    Functions of jaxbatch are not looked into: what they close over shows in the parameters that they give to JAX.
    """
    waiting, seen, found = [value], set(), set()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            found.add(package := _package(each))
            waiting += [inner for inner in _inside(each) if callable(inner)] if package != "jaxbatch" else []
    return found


def _package(value: Any) -> str:
    module = getattr(value, "__module__", None) or type(value).__module__
    return module.partition(".")[0]


def _inside(function: Any) -> Iterator[Any]:
    if isinstance(function, functools.partial):
        yield from (function.func, *function.args, *function.keywords.values())
    yield getattr(function, "rule", None)  # of a function with a batching rule
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # the cell is still empty
            yield cell.cell_contents
