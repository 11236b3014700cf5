"""The compiled programs of a process: ``jit(vmap(row))`` at one width, for each bucket and rung, shared by threads."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxbatch.compilation.background import compile_in_background
from jaxbatch.compilation.batch_width import batch_width, second_stage_limit
from jaxbatch.compilation.code_identity import is_builtin
from jaxbatch.compilation.device_memory import DeviceMemory, fitting_width, intermediate_bytes, program_bytes
from jaxbatch.compilation.digest import digest
from jaxbatch.compilation.executable_cache import LazyLowering, executable
from jaxbatch.compilation.trace import TracedProgram, row_structs, trace
from jaxbatch.compilation.weights import Weights
from jaxbatch.errors import JobError, readable_bytes
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.program_key import ProgramKey, smallest_programs
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.kernels.results import Results
from jaxbatch.kernels.trace_errors import explain_trace_error

_LAPACK_LOCK = threading.Lock()
"""Held by a program with LAPACK calls while it runs. On CPU jaxlib (0.10) makes such a call on a thread of XLA's pool,
spreads the batch over the same pool and blocks until that is done: as many calls at once as the pool has threads would
wait for ever. Each still uses every core."""

Timer = Callable[[str], AbstractContextManager[None]]
"""Adds the time of a block to the stage of that name, ``"transfer"`` or ``"compute"``."""


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


class _Loaded(NamedTuple):
    """A program on a device."""

    compiled: Any
    weights: list[Any]
    lock: AbstractContextManager[Any]
    """To be held while it runs."""


class Programs(ProgramSet):
    """The compiled programs of one kernel in one process, compiled at first use and kept.

    Args:
        kernel: bound to its input.
        dtype: the run's precision, ``"float32"`` or ``"float64"``.
        batch_rows: the width that the job sets, or None for the widest that ``BATCH_BYTES`` and ``limit`` allow.
        limit: the widest batch that the input can need, see :func:`width_limit`.
        memory: that of the devices, which the programs of several stages share.
        weights: those of the programs, which several stages share too.
    """

    def __init__(
        self,
        kernel: Kernel,
        dtype: str,
        *,
        batch_rows: int | None,
        limit: int,
        memory: DeviceMemory | None = None,
        weights: Weights | None = None,
    ):
        super().__init__(kernel, dtype)
        self._batch_rows = batch_rows
        self._limit = limit
        self._traces: dict[ProgramKey, TracedProgram] = {}
        self._tracing = threading.RLock()
        self._loaded: dict[tuple[ProgramKey, Any], _Loaded] = {}
        self._needed: dict[tuple[ProgramKey, Any], int] = {}
        """By program and device: the bytes that one batch takes, weights aside."""
        self._lock = threading.Lock()
        self._compile_locks: dict[ProgramKey, threading.Lock] = {}
        self._seconds = 0.0
        self._memory = memory or DeviceMemory()
        self._weights = weights or Weights()
        self.second_stage: Programs | None = None
        """The programs of the kernel's second stage."""
        if kernel.second_stage:
            one_group = kernel.grouping is not None and not kernel.grouping.by
            width = second_stage_limit(limit, one_group=one_group)
            self.second_stage = Programs(
                kernel.second_stage, dtype, batch_rows=None, limit=width, memory=self._memory, weights=self._weights
            )

    def share(self, max_concurrency: int, workers_per_node: int = 1) -> None:
        """Divide a device's memory by the batches that are computed at once in all processes that use it."""
        self._memory.divide(max_concurrency, workers_per_node)

    @property
    def compilations(self) -> int:
        """How many programs have been compiled so far, or loaded."""
        return len(self._loaded) + (self.second_stage.compilations if self.second_stage else 0)

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
                    batched = jax.make_jaxpr(_batched(traced))(*self._arguments(program))
            except Exception as error:  # raised by the user's rule, or by JAX because of it
                what, hint = explain_trace_error(error)
                raise JobError(
                    f"{self.kernel.describe_bucket(program.bucket)} cannot be batched{what}.", hint
                ) from error
            yield f"{traced.digest.hexadecimal} {digest(batched).hexadecimal}"
        if self.second_stage:
            yield from self.second_stage.digests()

    def described(self) -> list[dict[str, Any]]:
        """For people, of each bucket of every stage its smallest program: sizes, width, and the bytes of a batch."""
        own = [
            {
                "rows_of": self.kernel.describe_bucket(program.bucket),
                "sizes": dict(program.sizes),
                "batch_rows": self.width(program),
                "batch_bytes": self.width(program) * self.traced(program).row_bytes,
                **({"weight_bytes": held} if (held := self.traced(program).weight_bytes) else {}),
            }
            for program in smallest_programs(self.kernel)
        ]
        return own + (self.second_stage.described() if self.second_stage else [])

    def check_pure(self) -> None:
        """Check that functions trace to the same program twice, as pure functions do.

        One program is traced again for each of a user's functions, and every program of a user's own kernel. Only
        planning needs this check: what workers trace is compared with the plan.

        Raises:
            JobError: a second trace gave another program.
        """
        kernel = self.kernel
        self._weights.forget_changeable()
        by_origin = {kernel.origin(program.bucket): program for program in reversed(smallest_programs(kernel))}
        for program in by_origin.values():
            with x64_context(self.dtype, kernel):
                again = trace(kernel, program, self.dtype, self._weights)
            if again.digest != self.traced(program).digest:
                raise JobError(
                    f"{kernel.describe_bucket(program.bucket)} traces to a different program each time.",
                    "It uses the time, random numbers or a changing global: make it a pure function of its arguments.",
                )
        if self.second_stage and not is_builtin(type(self.second_stage.kernel)):
            self.second_stage.check_pure()

    def traced(self, program: ProgramKey) -> TracedProgram:
        """The program's trace, kept after the first call."""
        with self._tracing:
            if program not in self._traces:
                with x64_context(self.dtype, self.kernel):
                    self._traces[program] = trace(self.kernel, program, self.dtype, self._weights)
            return self._traces[program]

    def width(self, program: ProgramKey) -> int:
        """How many rows every batch of this program has: decided by the plan, never by the machine."""
        return self._batch_rows or batch_width(self.traced(program).row_bytes, self._limit)

    def prepare(self, program: ProgramKey, device: Any) -> float:
        """Compile a program at its first use, and return for how many seconds this call has waited for that."""
        if (key := (program, device)) in self._loaded:
            return 0.0
        called = time.perf_counter()
        with self._lock:
            lock = self._compile_locks.setdefault(program, threading.Lock())
        with lock:
            if key not in self._loaded:
                started = time.perf_counter()
                self._loaded[key] = self._load(program, device)
                self._seconds += time.perf_counter() - started
            return time.perf_counter() - called

    def prepare_all(self, programs: Iterable[ProgramKey], device: Any) -> None:
        """Begin to compile several programs that will be needed: those after the first in the background."""
        missing = [program for program in programs if (program, device) not in self._loaded]
        for program in missing[1:]:
            compile_in_background(self.prepare, program, device)

    def prepare_ahead(self, device: Any) -> None:
        """Compile in the background if there is a single program for all rows."""
        programs = smallest_programs(self.kernel)
        if len(programs) == 1 and not programs[0].sizes:
            compile_in_background(self.prepare, programs[0], device)

    def check_memory(self, device: Any) -> None:
        """Check that a batch of each program fits the device; compile only where an upper bound does not show it.

        Raises:
            JobError: a batch does not fit; it names the width that would. Or the weights do not.
        """
        programs = smallest_programs(self.kernel)
        self._memory.hold(device, (weight for program in programs for weight in self.traced(program).weights))
        for program in programs:
            traced = self.traced(program)
            if (program, device) in self._needed:
                self._check_fits(program, device)
                continue
            most = (traced.row_bytes + intermediate_bytes(traced.jaxpr)) * self.width(program)
            if most > self._memory.share(device):
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
        compiled, weights, lock = self._loaded[program, device]
        reservation = self._memory.reserve(device, self._needed[program, device])
        with x64_context(self.dtype, self.kernel), lock, reservation:
            with stage("transfer"):
                on_device = jax.block_until_ready(jax.device_put(dict(arrays), device))
            with stage("compute"):
                computed = jax.block_until_ready(compiled(weights, on_device))
            with stage("transfer"):
                out = jax.device_get(computed)
        trimmed = jax.tree.map(lambda array: array[:valid], out)
        return Results(trimmed["values"], trimmed["present"], trimmed["lengths"], trimmed["status"])

    def _load(self, program: ProgramKey, device: Any) -> _Loaded:
        traced = self.traced(program)
        self._memory.hold(device, traced.weights)
        with x64_context(self.dtype, self.kernel):
            arguments = self._arguments(program, jax.sharding.SingleDeviceSharding(device))
            lowering = LazyLowering(
                lambda: jax.jit(_batched(traced), keep_unused=bool(traced.weights)).lower(*arguments),
                digest=traced.digest.code if traced.digest.complete else None,
                signature=("jit(vmap)", str(arguments), str(traced.outputs)),
            )
            found = executable(lowering, device)
        self._needed[program, device] = max(0, program_bytes(found.compiled) - traced.weight_bytes)
        self._check_fits(program, device)
        weights = [weight.on(device) for weight in traced.weights]
        return _Loaded(found.compiled, weights, _LAPACK_LOCK if found.calls_lapack else nullcontext())

    def _arguments(self, program: ProgramKey, sharding: Any = None) -> tuple[list[Any], dict[str, Any]]:
        """Shapes and dtypes of a program's weights and of a batch of its inputs."""
        width = self.width(program)
        return [weight.struct(sharding) for weight in self.traced(program).weights], {
            name: jax.ShapeDtypeStruct((width, *struct.shape), struct.dtype, sharding=sharding)
            for name, struct in row_structs(self.kernel, program, self.dtype).items()
        }

    def _check_fits(self, program: ProgramKey, device: Any) -> None:
        width = self.width(program)
        needed, available = self._needed[program, device], self._memory.share(device)
        if needed > available:
            batches = self._memory.max_concurrency
            shared = f" for each of {batches} concurrent batches" if batches > 1 else ""
            raise JobError(
                f"A batch of {width:,} rows of {self.kernel.describe_bucket(program.bucket)} needs "
                f"{readable_bytes(needed)}, but the {device.device_kind} has {readable_bytes(available)}{shared}.",
                f"Set [compute] batch_rows = {fitting_width(width, needed, available)} or less.",
            )


def _batched(traced: TracedProgram) -> Callable[..., Any]:
    """A traced program as a function of its weights and a batch."""
    return jax.vmap(traced.row, in_axes=(None, 0))
