"""``jit(vmap(row))`` at one width, one program per bucket and ladder rung, shared by threads."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxbatch.columns import STATUS, Column, Maybe, Status
from jaxbatch.errors import JaxbatchError, JobError
from jaxbatch.kernel import Kernel, dimensions

BATCH_BYTES = 16 * 2**20
"""Inputs and outputs of one batch hold at most so many bytes, unless the job sets ``batch_rows``."""

MAX_WIDTH = 131_072
MIN_WIDTH = 8
"""Below 8 rows XLA may choose other instructions, and so other last bits."""


_LAPACK = "lapack_"
"""In the name of every call to LAPACK. On CPU jaxlib (0.10) makes such a call on a thread of XLA's pool, spreads the
batch over the same pool and blocks until that is done: as many calls at once as the pool has threads wait for ever.
Programs that make them therefore take turns; each still uses every core."""


@dataclass(frozen=True)
class Program:
    """What one compiled program is for: a kernel's bucket, and a size for each named dimension."""

    bucket: int
    sizes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Results:
    """One batch of outputs: ``[rows, *shape]`` arrays, lengths, the status, and which rows of those outputs are
    present that any row lacks."""

    values: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    status: np.ndarray


def precision(name: str, kernel: "type[Kernel] | Kernel | None" = None) -> AbstractContextManager[Any]:
    """The context in which functions are loaded, traced and run: 64-bit types on or off."""
    wide = kernel is not None and kernel.wide
    return jax.enable_x64(name == "float64" or wide)


def row_function(kernel: Kernel, bucket: int) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A bucket's row function with the checks every kernel shares: its outputs' names, and finiteness.

    Raises when traced:
        JobError: the kernel's outputs are not those that it declares.
    """
    row = kernel.program(bucket)
    lengths = dimensions(kernel.outputs)

    def checked(columns: Mapping[str, Any]) -> dict[str, Any]:
        results = dict(row(**columns))
        status = jnp.asarray(results.pop(STATUS, Status.ok), jnp.int8)
        expected = {column.name for column in kernel.outputs} | set(lengths)
        if set(results) != expected:
            raise JobError(
                f"{type(kernel).__name__} returns {sorted(results)}, and declares {sorted(expected)}.",
                "Return exactly the outputs (and lengths of named dimensions) that are declared.",
            )
        values, present = {}, {}
        own_lengths = {name: jnp.asarray(results[name]) for name in lengths}
        for column in kernel.outputs:
            result = results[column.name]
            value, there = result if isinstance(result, Maybe) else (result, True)
            values[column.name] = value = jnp.asarray(value)
            if there is not True:
                present[column.name] = there = jnp.asarray(there)
            if column.tested and jnp.issubdtype(value.dtype, jnp.floating):
                counted = _counted(column, value.shape, own_lengths)
                finite = jnp.all(jnp.isfinite(value) | ~counted) | jnp.logical_not(there)
                status = jnp.maximum(status, jnp.where(finite, Status.ok, Status.nonfinite).astype(jnp.int8))
        return {"values": values, "present": present, "lengths": own_lengths, "status": status}

    return checked


def _counted(column: Column, shape: tuple[int, ...], lengths: Mapping[str, Any]) -> Any:
    """Which entries of an output lie within its row's own lengths."""
    counted = jnp.ones(shape, bool)
    for axis, size in enumerate(column.shape):
        if isinstance(size, str):
            index = jax.lax.broadcasted_iota(jnp.int32, shape, axis)
            counted &= index < lengths[size]
    return counted


def row_structs(kernel: Kernel, program: Program, dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of one row of a program's inputs."""
    sizes = dict(program.sizes)
    integer = jax.dtypes.canonicalize_dtype("int64")
    kinds = {"float": jnp.dtype(dtype), "int": integer, "string": integer}
    structs = {
        column.name: jax.ShapeDtypeStruct(column.sized(sizes), kinds.get(column.dtype) or jnp.dtype(column.dtype))
        for column in kernel.inputs
    }
    return structs | {name: jax.ShapeDtypeStruct((), integer) for name in dimensions(kernel.inputs)}


def check_outputs(kernel: Kernel, program: Program, dtype: str) -> None:
    """Trace a program and compare the shapes of its outputs with the declared ones.

    Raises:
        JobError: they differ, or the function cannot be traced.
    """
    try:
        traced = jax.eval_shape(row_function(kernel, program.bucket), row_structs(kernel, program, dtype))["values"]
    except JaxbatchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise JobError(
            f"{kernel.describe_bucket(program.bucket)}: the function cannot be traced: {reason}",
            "It must be a pure JAX function of one row; --debug shows the traceback.",
        ) from error
    for column in kernel.outputs:
        shape = traced[column.name].shape
        fits = len(shape) == len(column.shape) and all(
            isinstance(declared, str) or declared == size for declared, size in zip(column.shape, shape, strict=True)
        )
        if not fits:
            raise JobError(
                f"The output '{column.name}' has the shape {shape} per row, and is declared as {column.shape}.",
                "Correct the kernel's outputs.",
            )


def width_limit(largest_part: int) -> int:
    """The widest batch an input can need: the next power of two of its largest part."""
    return min(MAX_WIDTH, max(MIN_WIDTH, 1 << max(largest_part - 1, 0).bit_length()))


class Programs:
    """The compiled programs of one process, made at first use and kept.

    ``batch_rows`` is the job's own width, or None for the widest that ``BATCH_BYTES`` and ``limit`` allow.
    """

    def __init__(self, kernel: Kernel, dtype: str, *, batch_rows: int | None, limit: int):
        self.kernel = kernel
        self._dtype = dtype
        self._batch_rows = batch_rows
        self._limit = limit
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._making: dict[Program, threading.Lock] = {}
        self._widths: dict[Program, int] = {}
        self._compiled: dict[tuple[Program, Any], tuple[Any, AbstractContextManager[Any]]] = {}
        self.compile_seconds = 0.0

    @property
    def compilations(self) -> int:
        """How many programs have been compiled so far."""
        return len(self._compiled)

    def width(self, program: Program) -> int:
        """The rows of every batch of this program: decided by the plan, never by the machine."""
        if self._batch_rows is not None:
            return self._batch_rows
        if program not in self._widths:
            fitting = BATCH_BYTES // self.row_bytes(program)
            self._widths[program] = min(self._limit, max(MIN_WIDTH, 1 << max(fitting.bit_length() - 1, 0)))
        return self._widths[program]

    def row_bytes(self, program: Program) -> int:
        """Bytes of one row's inputs and outputs."""
        with precision(self._dtype, self.kernel):
            inputs = row_structs(self.kernel, program, self._dtype)
            outputs = jax.eval_shape(row_function(self.kernel, program.bucket), inputs)
        return max(1, sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((inputs, outputs))))

    def run(self, program: Program, arrays: Mapping[str, np.ndarray], valid: int, device: Any) -> Results:
        """Evaluate one batch of exactly the program's width, and keep its first ``valid`` rows."""
        compiled, turn = self._get(program, device)
        with precision(self._dtype, self.kernel), turn:
            out = jax.device_get(compiled(jax.device_put(dict(arrays), device)))
        trimmed = jax.tree.map(lambda array: array[:valid], out)
        return Results(trimmed["values"], trimmed["present"], trimmed["lengths"], trimmed["status"])

    def _get(self, program: Program, device: Any) -> tuple[Any, AbstractContextManager[Any]]:
        """The compiled program, and the turn that it has to wait for."""
        key = (program, device)
        if key in self._compiled:
            return self._compiled[key]
        with self._lock:
            making = self._making.setdefault(program, threading.Lock())
        with making:
            if key not in self._compiled:
                started = time.perf_counter()
                self._compiled[key] = self._compile(program, device)
                with self._lock:
                    self.compile_seconds += time.perf_counter() - started
        return self._compiled[key]

    def _compile(self, program: Program, device: Any) -> tuple[Any, AbstractContextManager[Any]]:
        width = self.width(program)
        sharding = jax.sharding.SingleDeviceSharding(device)
        with precision(self._dtype, self.kernel):
            batch = {
                name: jax.ShapeDtypeStruct((width, *struct.shape), struct.dtype, sharding=sharding)
                for name, struct in row_structs(self.kernel, program, self._dtype).items()
            }
            lowered = jax.jit(jax.vmap(row_function(self.kernel, program.bucket))).lower(batch)
            turn = self._one_at_a_time if _LAPACK in lowered.as_text() else nullcontext()
            return lowered.compile(), turn


def representative(kernel: Kernel) -> Sequence[Program]:
    """One program per bucket, its named dimensions at their smallest: what a plan traces."""
    names = dimensions(kernel.inputs)
    smallest = {name: int(kernel.size(name, np.array([1]))[0]) for name in names}
    return [Program(bucket, tuple(smallest.items())) for bucket in range(kernel.buckets)]
