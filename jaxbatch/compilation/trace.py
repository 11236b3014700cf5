"""A kernel's row function as a traced program: checked, digested and measured before anything is compiled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxbatch.columns import STATUS, Column, Maybe, Status
from jaxbatch.compilation.digest import Digest, digest
from jaxbatch.compilation.weights import Weight, Weights
from jaxbatch.errors import JaxbatchError, JobError
from jaxbatch.kernels import random_keys
from jaxbatch.kernels.base import Kernel, dimensions
from jaxbatch.kernels.program_key import ProgramKey
from jaxbatch.kernels.trace_errors import explain_trace_error
from jaxbatch.large_constants import lifted


@dataclass(frozen=True)
class TracedProgram:
    """A traced program, for one row."""

    jaxpr: Any
    """A closed jaxpr, in which a :class:`Weight` stands for each large constant."""
    row_bytes: int
    """The bytes of one row's inputs and outputs."""
    outputs: Any
    """The structure of the outputs, a ``PyTreeDef``."""

    @cached_property
    def digest(self) -> Digest:
        """The digest of what it does.

        Raises:
            JobError: it calls back into Python, or is differentiated in a way for which it has no rule.
        """
        return digest(self.jaxpr)

    @cached_property
    def weights(self) -> tuple[Weight, ...]:
        """The weights, each once, in order of appearance."""
        return tuple(dict.fromkeys(each for each in self.jaxpr.consts if isinstance(each, Weight)))

    @property
    def weight_bytes(self) -> int:
        """The bytes of the weights together."""
        return sum(weight.bytes for weight in self.weights)

    def row(self, weights: Sequence[Any], columns: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate the traced program for one row, from the arrays of its weights and its inputs by name."""
        arrays = dict(zip(self.weights, weights, strict=True))
        constants = [arrays[each] if isinstance(each, Weight) else each for each in self.jaxpr.consts]
        closed = core.ClosedJaxpr(self.jaxpr.jaxpr, constants)
        return jax.tree.unflatten(self.outputs, core.jaxpr_as_fun(closed)(*jax.tree.leaves(dict(columns))))


def row_function(kernel: Kernel, bucket: int, dtype: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A bucket's row function with the checks that every kernel shares, of its outputs' names and finiteness.

    It maps a row's inputs to ``values``, ``present``, ``lengths`` and ``status``, see
    :class:`~jaxbatch.kernels.results.Results`.

    Raises when traced:
        JobError: the kernel's outputs are not those that it declares.
    """
    row = kernel.program(bucket)
    lengths = dimensions(kernel.outputs)

    def checked(columns: Mapping[str, Any]) -> dict[str, Any]:
        results = dict(row(**random_keys.with_typed_keys(columns, kernel.inputs)))
        status = jnp.asarray(results.pop(STATUS, Status.ok), jnp.int8)
        expected = {column.name for column in kernel.outputs} | set(lengths)
        if set(results) != expected:
            raise JobError(
                f"{type(kernel).__name__} returns {sorted(results)} but declares {sorted(expected)}.",
                "Return exactly the declared outputs and the lengths of named dimensions.",
            )
        values, present = {}, {}
        own_lengths = {name: jnp.asarray(results[name]) for name in lengths}
        for column in kernel.outputs:
            result = results[column.name]
            value, has_value = result if isinstance(result, Maybe) else (result, True)
            value = jnp.asarray(value)
            kind = _kind(column, dtype)
            whole = all(jnp.issubdtype(each, jnp.integer) for each in (value.dtype, kind))
            if jnp.can_cast(value.dtype, kind, "safe" if whole else "same_kind"):  # a narrower integer would wrap
                value = value.astype(kind)  # before the check for finiteness, since a narrower type may overflow
            values[column.name] = value
            if has_value is not True:
                present[column.name] = has_value = jnp.asarray(has_value)
                if has_value.shape != () or has_value.dtype != bool:
                    raise JobError(
                        f"{type(kernel).__name__} gives {has_value.dtype}{has_value.shape} for whether a row has "
                        f"'{column.name}'.",
                        "Give one boolean: Maybe(value, present).",
                    )
            if column.check_finite and jnp.issubdtype(value.dtype, jnp.floating):
                counted = _counted(column, value.shape, own_lengths)
                finite = jnp.all(jnp.isfinite(value) | ~counted) | jnp.logical_not(has_value)
                status = jnp.maximum(status, jnp.where(finite, Status.ok, Status.nonfinite).astype(jnp.int8))
        return {"values": values, "present": present, "lengths": own_lengths, "status": status}

    return checked


def _kind(column: Column, dtype: str) -> Any:
    """The NumPy type of an output on the device, where a string is an index into its ``choices``."""
    kinds = {"float": dtype, "int": "int64", "string": "int64"}
    return jax.dtypes.canonicalize_dtype(kinds.get(column.dtype, column.dtype))


def _counted(column: Column, shape: tuple[int, ...], lengths: Mapping[str, Any]) -> Any:
    """Which entries of an output lie within its row's own lengths; of the given shape."""
    counted = jnp.ones(shape, bool)
    for axis, size in enumerate(column.shape):
        if isinstance(size, str):
            index = jax.lax.broadcasted_iota(jnp.int32, shape, axis)
            counted &= index < lengths[size]
    return counted


def row_structs(kernel: Kernel, program: ProgramKey, dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes and dtypes of one row's inputs for a program."""
    sizes = dict(program.sizes)
    integer = jax.dtypes.canonicalize_dtype("int64")
    structs = {
        column.name: random_keys.struct(column, sizes, column.numpy_type(dtype, x64=kernel.needs_x64))
        for column in kernel.inputs
    }
    return structs | {name: jax.ShapeDtypeStruct((), integer) for name in dimensions(kernel.inputs)}


def trace(kernel: Kernel, program: ProgramKey, dtype: str, weights: Weights) -> TracedProgram:
    """Trace a program, and check that its outputs have the declared shapes and dtypes.

    Args:
        kernel: bound to its input.
        program: which of its programs.
        dtype: the run's precision, ``"float32"`` or ``"float64"``.
        weights: those that the run's programs are known to have; what is new is added.

    Raises:
        JobError: they do not, or the function cannot be traced.
    """
    structs = row_structs(kernel, program, dtype)
    try:
        jaxpr, outputs = jax.make_jaxpr(row_function(kernel, program.bucket, dtype), return_shape=True)(structs)
    except JaxbatchError:
        raise
    except (Exception, SystemExit) as error:
        what, hint = explain_trace_error(error, structs)
        raise JobError(f"{kernel.describe_bucket(program.bucket)} cannot be traced{what}.", hint) from error
    for column in kernel.outputs:
        _check_output(column, outputs["values"][column.name], _kind(column, dtype))
    leaves = jax.tree.leaves((structs, outputs))
    whole = lifted(jaxpr)
    row_bytes = max(1, sum(leaf.size * leaf.dtype.itemsize for leaf in leaves))
    program_with_weights = core.ClosedJaxpr(whole.jaxpr, weights.in_place_of(whole.consts))
    return TracedProgram(program_with_weights, row_bytes, jax.tree.structure(outputs))


def _check_output(column: Column, struct: jax.ShapeDtypeStruct, kind: Any) -> None:
    shape = struct.shape
    if struct.dtype != kind:
        raise JobError(
            f"The output '{column.name}' is {struct.dtype} but is declared as {column.dtype}.",
            "Correct the kernel's outputs or cast the result.",
        )
    fits = len(shape) == len(column.shape) and all(
        isinstance(declared, str) or declared == size for declared, size in zip(column.shape, shape, strict=True)
    )
    if not fits:
        raise JobError(
            f"The output '{column.name}' has the shape {shape} per row but is declared as {column.shape}.",
            "Correct the kernel's outputs.",
        )
