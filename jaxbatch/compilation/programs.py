"""The compiled programs of a process: ``jit(vmap(row))`` at one width, for each bucket and rung, shared by threads."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxbatch.compilation.device_memory import (
    DeviceMemoryPool,
    device_bytes,
    fitting_width,
    intermediate_bytes,
    program_bytes,
)
from jaxbatch.compilation.digest import digest
from jaxbatch.compilation.executable_cache import LazyLowering, executable
from jaxbatch.compilation.trace import TracedProgram, row_structs, trace
from jaxbatch.errors import JobError, readable_bytes
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.program_key import ProgramKey, smallest_programs
from jaxbatch.kernels.trace_errors import explain_trace_error

BATCH_BYTES = 16 * 2**20
"""The most that inputs and outputs of one batch hold, unless the job sets ``batch_rows``."""

MAX_WIDTH = 131_072
MIN_WIDTH = 8
"""Below 8 rows XLA may choose other instructions, and so other last bits."""

SECOND_STAGE_WIDTH = 1024
"""The widest batch of a kernel's second stage: about what one chunk of input gives, with little to pad."""

_LAPACK_LOCK = threading.Lock()
"""Held by a program with LAPACK calls while it runs. On CPU jaxlib (0.10) makes such a call on a thread of XLA's pool,
spreads the batch over the same pool and blocks until that is done: as many calls at once as the pool has threads would
wait for ever. Each still uses every core."""

Timer = Callable[[str], AbstractContextManager[None]]
"""Adds the time of a block to the stage of that name, ``"transfer"`` or ``"compute"``."""


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Results:
    """One batch of outputs."""

    values: dict[str, np.ndarray]
    """By column, of shape [rows, …]."""
    present: dict[str, np.ndarray]
    """For columns that are :class:`~jaxbatch.columns.Maybe`: which rows have a value, of shape [rows]."""
    lengths: dict[str, np.ndarray]
    """By named dimension: each row's own length, of shape [rows]."""
    status: np.ndarray
    """int8, of shape [rows]."""

    def replaced(self, rows: np.ndarray, others: "Results") -> "Results":
        """These results with ``rows`` replaced by those of ``others``, in that order."""

        def replace(mine: np.ndarray, new: np.ndarray) -> np.ndarray:
            found = mine.copy()
            found[rows] = new
            return found

        return Results(**jax.tree.map(replace, vars(self), vars(others)))


def width_limit(largest_part: int) -> int:
    """The widest batch an input can need: the next power of two of its largest part."""
    return min(MAX_WIDTH, max(MIN_WIDTH, 1 << max(largest_part - 1, 0).bit_length()))


def compile_in_background(compile_: Callable[..., Any], *arguments: Any) -> None:
    """Compile in a thread of its own. An error is left out: it comes again to whoever uses the program."""

    def run() -> None:
        with suppress(Exception):
            compile_(*arguments)

    # Not a daemon: an interpreter that ends while XLA compiles crashes.
    threading.Thread(target=run, name="jaxbatch-compile").start()


class Programs:
    """The compiled programs of one kernel in one process, compiled at first use and kept.

    Args:
        kernel: bound to its input.
        dtype: the run's precision, ``"float32"`` or ``"float64"``.
        batch_rows: the width that the job sets, or None for the widest that ``BATCH_BYTES`` and ``limit`` allow.
        limit: the widest batch that the input can need, see :func:`width_limit`.
        pools: the memory of each device, which the programs of several stages share.
    """

    def __init__(
        self,
        kernel: Kernel,
        dtype: str,
        *,
        batch_rows: int | None,
        limit: int,
        pools: defaultdict[Any, DeviceMemoryPool] | None = None,
    ):
        self.kernel = kernel
        self.dtype = dtype
        self._batch_rows = batch_rows
        self._limit = limit
        self._traces: dict[ProgramKey, TracedProgram] = {}
        self._compiled: dict[tuple[ProgramKey, Any], tuple[Any, AbstractContextManager[Any]]] = {}
        """By program and device: the executable, and the lock that it needs."""
        self._needed: dict[tuple[ProgramKey, Any], int] = {}
        """By program and device: the bytes that one batch takes."""
        self._lock = threading.Lock()
        self._compile_locks: dict[ProgramKey, threading.Lock] = {}
        self._seconds = 0.0
        self._max_concurrency = self._workers_per_node = 1
        self._device_bytes: dict[Any, int] = {}
        self._pools = defaultdict[Any, DeviceMemoryPool](DeviceMemoryPool) if pools is None else pools
        self.second_stage: Programs | None = None
        """The programs of the kernel's second stage."""
        if kernel.second_stage:
            one_group = kernel.grouping is not None and not kernel.grouping.by
            width = MIN_WIDTH if one_group else min(limit, SECOND_STAGE_WIDTH)
            self.second_stage = Programs(kernel.second_stage, dtype, batch_rows=None, limit=width, pools=self._pools)

    def share(self, max_concurrency: int, workers_per_node: int = 1) -> None:
        """Divide a device's memory by the batches that are computed at once in all processes that use it: a batch that
        does not fit its share is refused. More may run at once, if the memory holds them."""
        self._max_concurrency, self._workers_per_node = max_concurrency * workers_per_node, workers_per_node
        if self.second_stage:
            self.second_stage.share(max_concurrency, workers_per_node)

    @property
    def compilations(self) -> int:
        """How many programs have been compiled so far, or loaded."""
        return len(self._compiled) + (self.second_stage.compilations if self.second_stage else 0)

    @property
    def seconds(self) -> float:
        """How many seconds that has taken."""
        return self._seconds + (self.second_stage.seconds if self.second_stage else 0.0)

    def smallest_traces(self) -> Iterator[TracedProgram]:
        """One traced program per bucket of every stage, its named dimensions at their smallest."""
        for program in smallest_programs(self.kernel):
            yield self.traced(program)
        if self.second_stage:
            yield from self.second_stage.smallest_traces()

    def digests(self) -> Iterator[str]:
        """A digest of what each of those programs does.

        If a program has parts with a batching rule that is neither JAX's nor jaxbatch's, its digest is followed by
        that of the program batched at its width, which shows what the rule makes of it.

        Raises:
            JobError: such a program cannot be batched.
        """
        for program in smallest_programs(self.kernel):
            traced = self.traced(program)
            if not traced.digest.foreign:
                yield traced.digest.hexadecimal
                continue
            try:
                with x64_context(self.dtype, self.kernel):
                    batched = jax.make_jaxpr(jax.vmap(traced.row))(self._batch(program))
            except Exception as error:  # raised by the user's rule, or by JAX because of it
                what, hint = explain_trace_error(error)
                raise JobError(
                    f"{self.kernel.describe_bucket(program.bucket)} cannot be batched{what}.", hint
                ) from error
            yield f"{traced.digest.hexadecimal} {digest(batched).hexadecimal}"
        if self.second_stage:
            yield from self.second_stage.digests()

    def traced(self, program: ProgramKey) -> TracedProgram:
        """The program's trace, kept after the first call."""
        if program not in self._traces:
            with x64_context(self.dtype, self.kernel):
                self._traces[program] = trace(self.kernel, program, self.dtype)
        return self._traces[program]

    def width(self, program: ProgramKey) -> int:
        """How many rows every batch of this program has: decided by the plan, never by the machine."""
        if self._batch_rows is not None:
            return self._batch_rows
        fitting = BATCH_BYTES // self.traced(program).row_bytes
        return min(self._limit, max(MIN_WIDTH, 1 << max(fitting.bit_length() - 1, 0)))

    def prepare(self, program: ProgramKey, device: Any) -> float:
        """Compile a program at its first use, and return for how many seconds this call has waited for that."""
        if (key := (program, device)) in self._compiled:
            return 0.0
        called = time.perf_counter()
        with self._lock:
            lock = self._compile_locks.setdefault(program, threading.Lock())
        with lock:
            if key not in self._compiled:
                started = time.perf_counter()
                self._compiled[key] = self._compile(program, device)
                self._seconds += time.perf_counter() - started
            return time.perf_counter() - called

    def prepare_ahead(self, device: Any) -> None:
        """Compile in the background if there is a single program for all rows."""
        programs = smallest_programs(self.kernel)
        if len(programs) == 1 and not programs[0].sizes:
            compile_in_background(self.prepare, programs[0], device)

    def check_memory(self, device: Any) -> None:
        """Check that a batch of each program fits the device; compile only where an upper bound does not show it.

        Raises:
            JobError: a batch does not fit; it names the width that would.
        """
        for program in smallest_programs(self.kernel):
            traced = self.traced(program)
            if (program, device) in self._needed:
                self._check_fits(program, device)
                continue
            most = (traced.row_bytes + intermediate_bytes(traced.jaxpr)) * self.width(program)
            if most > self._memory(device) // self._max_concurrency:
                self.prepare(program, device)
        if self.second_stage:
            self.second_stage.check_memory(device)

    def run(
        self, program: ProgramKey, arrays: Mapping[str, np.ndarray], valid: int, device: Any, stage: Timer = _untimed
    ) -> Results:
        """Compute one batch of exactly the program's width, and keep the results of its first ``valid`` rows.

        Args:
            program: the program of these rows.
            arrays: the inputs by name, each of shape [width, …].
            valid: how many of the rows are not padding.
            device: a JAX device.
            stage: times the transfers to and from the device, and the computation.
        """
        self.prepare(program, device)
        compiled, lock = self._compiled[program, device]
        available = self._memory(device)
        needed = self._needed[program, device] or available // self._max_concurrency
        reservation = self._pools[device].reserve(needed, available // self._workers_per_node)
        with x64_context(self.dtype, self.kernel), lock, reservation:
            with stage("transfer"):
                on_device = jax.block_until_ready(jax.device_put(dict(arrays), device))
            with stage("compute"):
                computed = jax.block_until_ready(compiled(on_device))
            with stage("transfer"):
                out = jax.device_get(computed)
        trimmed = jax.tree.map(lambda array: array[:valid], out)
        return Results(trimmed["values"], trimmed["present"], trimmed["lengths"], trimmed["status"])

    def _memory(self, device: Any) -> int:
        """The device's memory in bytes, asked for once: asking takes as long as a small batch does."""
        if device not in self._device_bytes:
            self._device_bytes[device] = device_bytes(device)
        return self._device_bytes[device]

    def _compile(self, program: ProgramKey, device: Any) -> tuple[Any, AbstractContextManager[Any]]:
        traced = self.traced(program)
        with x64_context(self.dtype, self.kernel):
            batch = self._batch(program, jax.sharding.SingleDeviceSharding(device))
            lowering = LazyLowering(
                lambda: jax.jit(jax.vmap(traced.row)).lower(batch),
                digest=traced.digest.hexadecimal if traced.digest.complete else None,
                signature=("jit(vmap)", str(batch), str(traced.outputs)),
            )
            found = executable(lowering, device)
        self._needed[program, device] = program_bytes(found.compiled)
        self._check_fits(program, device)
        return found.compiled, _LAPACK_LOCK if found.calls_lapack else nullcontext()

    def _batch(self, program: ProgramKey, sharding: Any = None) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of a batch of a program's inputs."""
        width = self.width(program)
        return {
            name: jax.ShapeDtypeStruct((width, *struct.shape), struct.dtype, sharding=sharding)
            for name, struct in row_structs(self.kernel, program, self.dtype).items()
        }

    def _check_fits(self, program: ProgramKey, device: Any) -> None:
        width = self.width(program)
        needed, available = self._needed[program, device], self._memory(device) // self._max_concurrency
        if needed > available:
            shared = f" for each of {self._max_concurrency} concurrent batches" if self._max_concurrency > 1 else ""
            raise JobError(
                f"A batch of {width:,} rows of {self.kernel.describe_bucket(program.bucket)} needs "
                f"{readable_bytes(needed)}, but the {device.device_kind} has {readable_bytes(available)}{shared}.",
                f"Set [compute] batch_rows = {fitting_width(width, needed, available)} or less.",
            )
