"""``jit(vmap(row))`` at one width, one program per bucket and ladder rung, shared by threads."""

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
    gib,
    intermediate_bytes,
    program_bytes,
)
from jaxbatch.compilation.digest import digest
from jaxbatch.compilation.executable_cache import LazyLowering, executable
from jaxbatch.compilation.trace import ProgramKey, TracedProgram, row_structs, smallest_programs, trace, x64_context
from jaxbatch.errors import JobError
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.trace_errors import explain_trace_error

BATCH_BYTES = 16 * 2**20
"""Inputs and outputs of one batch hold at most so many bytes, unless the job sets ``batch_rows``."""

MAX_WIDTH = 131_072
MIN_WIDTH = 8
"""Below 8 rows XLA may choose other instructions, and so other last bits."""


THEN_WIDTH = 1024
"""Rows of a batch of a kernel's second stage: what one chunk of input gives, with little to pad."""

_ONE_AT_A_TIME = threading.Lock()
"""For programs that call LAPACK. On CPU jaxlib (0.10) makes such a call on a thread of XLA's pool, spreads the batch
over the same pool and blocks until that is done: as many calls at once as the pool has threads wait for ever. Each
still uses every core."""


Timer = Callable[[str], AbstractContextManager[None]]
"""Counts the time of a block towards a stage of that name."""


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Results:
    """One batch of outputs: ``[rows, *shape]`` arrays, lengths, the status, and which rows of those outputs are
    present that any row lacks."""

    values: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    status: np.ndarray

    def replaced(self, rows: np.ndarray, others: "Results") -> "Results":
        """These results, but for some rows those of ``others``."""

        def replace(mine: np.ndarray, new: np.ndarray) -> np.ndarray:
            found = mine.copy()
            found[rows] = new
            return found

        fields = ((getattr(self, name), getattr(others, name)) for name in ("values", "present", "lengths", "status"))
        return Results(*(jax.tree.map(replace, mine, new) for mine, new in fields))


def width_limit(largest_part: int) -> int:
    """The widest batch an input can need: the next power of two of its largest part."""
    return min(MAX_WIDTH, max(MIN_WIDTH, 1 << max(largest_part - 1, 0).bit_length()))


def compile_in_background(compile_: Callable[..., Any], *arguments: Any) -> None:
    """Compile in a thread of its own; whatever goes wrong is met again, and told, where it is used."""

    def run() -> None:
        with suppress(Exception):
            compile_(*arguments)

    # Not a daemon: an interpreter that ends while XLA compiles takes the process down with it.
    threading.Thread(target=run, name="jaxbatch-compile").start()


class Programs:
    """The compiled programs of one process, made at first use and kept.

    ``batch_rows`` is the job's own width, or None for the widest that ``BATCH_BYTES`` and ``limit`` allow.
    """

    def __init__(
        self,
        kernel: Kernel,
        dtype: str,
        *,
        batch_rows: int | None,
        limit: int,
        budgets: defaultdict[Any, DeviceMemoryPool] | None = None,
    ):
        self.kernel = kernel
        self.dtype = dtype
        self._batch_rows = batch_rows
        self._limit = limit
        self._needed: dict[tuple[ProgramKey, Any], int] = {}
        """The memory of those."""
        self._max_concurrency = self._workers_per_node = 1
        self._device_bytes: dict[Any, int] = {}
        self._budgets = defaultdict[Any, DeviceMemoryPool](DeviceMemoryPool) if budgets is None else budgets
        self._seconds = 0.0
        self._lock = threading.Lock()
        self._making: dict[ProgramKey, threading.Lock] = {}
        self._traces: dict[ProgramKey, TracedProgram] = {}
        self._compiled: dict[tuple[ProgramKey, Any], tuple[Any, AbstractContextManager[Any]]] = {}
        one = kernel.grouping is not None and not kernel.grouping.by
        then_limit = MIN_WIDTH if one else min(limit, THEN_WIDTH)
        self.second_stage: Programs | None = None
        """The programs of the kernel's second stage."""
        if kernel.second_stage:
            self.second_stage = Programs(
                kernel.second_stage, dtype, batch_rows=None, limit=then_limit, budgets=self._budgets
            )

    def share(self, max_concurrency: int, workers_per_node: int = 1) -> None:
        """Have a device's memory suffice for so many batches at once, in each of so many processes.

        There may be more at once, but no more than its memory has room for.
        """
        self._max_concurrency, self._workers_per_node = max_concurrency * workers_per_node, workers_per_node
        if self.second_stage:
            self.second_stage.share(max_concurrency, workers_per_node)

    @property
    def compilations(self) -> int:
        """How many programs have been compiled so far."""
        return len(self._compiled) + (self.second_stage.compilations if self.second_stage else 0)

    @property
    def seconds(self) -> float:
        """How long that has taken."""
        return self._seconds + (self.second_stage.seconds if self.second_stage else 0.0)

    def smallest_traces(self) -> Iterator[TracedProgram]:
        """One traced program per bucket of every stage, its named dimensions at their smallest."""
        for program in smallest_programs(self.kernel):
            yield self.traced(program)
        if self.second_stage:
            yield from self.second_stage.smallest_traces()

    def digests(self) -> Iterator[str]:
        """What each of those programs does; where Python that is not JAX's or ours says how to batch a part of it, as
        it does that at their width.

        Raises:
            JobError: it cannot be batched.
        """
        for program in smallest_programs(self.kernel):
            traced = self.traced(program)
            if not traced.digest.foreign:
                yield traced.digest.hexadecimal
                continue
            try:
                with x64_context(self.dtype, self.kernel):
                    batched = jax.make_jaxpr(jax.vmap(traced.row))(self._batch(program))
            except Exception as error:  # of somebody's rule, or of JAX's where it meets one
                what, hint = explain_trace_error(error)
                raise JobError(
                    f"{self.kernel.describe_bucket(program.bucket)} cannot be batched{what}.", hint
                ) from error
            yield f"{traced.digest.hexadecimal} {digest(batched).hexadecimal}"
        if self.second_stage:
            yield from self.second_stage.digests()

    def traced(self, program: ProgramKey) -> TracedProgram:
        """The program's trace, made once."""
        if program not in self._traces:
            with x64_context(self.dtype, self.kernel):
                self._traces[program] = trace(self.kernel, program, self.dtype)
        return self._traces[program]

    def width(self, program: ProgramKey) -> int:
        """The rows of every batch of this program: decided by the plan, never by the machine."""
        if self._batch_rows is not None:
            return self._batch_rows
        fitting = BATCH_BYTES // self.traced(program).row_bytes
        return min(self._limit, max(MIN_WIDTH, 1 << max(fitting.bit_length() - 1, 0)))

    def prepare(self, program: ProgramKey, device: Any) -> float:
        """Compile a program if this is its first use; the seconds that this call has waited for that."""
        key = (program, device)
        if key in self._compiled:
            return 0.0
        started = time.perf_counter()
        with self._lock:
            making = self._making.setdefault(program, threading.Lock())
        with making:
            if key not in self._compiled:
                begun = time.perf_counter()
                self._compiled[key] = self._compile(program, device)
                self._seconds += time.perf_counter() - begun
            return time.perf_counter() - started

    def prepare_ahead(self, device: Any) -> None:
        """Compile the program of every row beside what else there is to do, where there is but one.

        Why it fails is told to whoever uses it.
        """
        programs = smallest_programs(self.kernel)
        if len(programs) == 1 and not programs[0].sizes:
            compile_in_background(self.prepare, programs[0], device)

    def check_memory(self, device: Any) -> None:
        """Refuse programs that a device cannot hold; compiles only those of which that is not clear without.

        Raises:
            JobError: with the width that fits.
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
        """Evaluate one batch of exactly the program's width, and keep its first ``valid`` rows.

        ``stage`` is told what the time goes to: moving numbers to the device and back, or computing.
        """
        self.prepare(program, device)
        compiled, turn = self._compiled[program, device]
        available = self._memory(device)
        needed = self._needed[program, device] or available // self._max_concurrency
        room = self._budgets[device].reserve(needed, available // self._workers_per_node)
        with x64_context(self.dtype, self.kernel), turn, room:
            with stage("transfer"):
                there = jax.block_until_ready(jax.device_put(dict(arrays), device))
            with stage("compute"):
                computed = jax.block_until_ready(compiled(there))
            with stage("transfer"):
                out = jax.device_get(computed)
        trimmed = jax.tree.map(lambda array: array[:valid], out)
        return Results(trimmed["values"], trimmed["present"], trimmed["lengths"], trimmed["status"])

    def _memory(self, device: Any) -> int:
        """The device's memory, asked for once: that takes as long as a small batch does."""
        if device not in self._device_bytes:
            self._device_bytes[device] = device_bytes(device)
        return self._device_bytes[device]

    def _compile(self, program: ProgramKey, device: Any) -> tuple[Any, AbstractContextManager[Any]]:
        traced = self.traced(program)
        with x64_context(self.dtype, self.kernel):
            batch = self._batch(program, jax.sharding.SingleDeviceSharding(device))
            source = LazyLowering(
                lambda: jax.jit(jax.vmap(traced.row)).lower(batch),
                digest=traced.digest.hexadecimal if traced.digest.complete else None,
                called=("jit(vmap)", str(batch), str(traced.outputs)),
            )
            made = executable(source, device)
        turn = _ONE_AT_A_TIME if made.calls_lapack else nullcontext()
        self._needed[program, device] = program_bytes(made.compiled)
        self._check_fits(program, device)
        return made.compiled, turn

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
                f"A batch of {width:,} rows of {self.kernel.describe_bucket(program.bucket)} needs {gib(needed)}, "
                f"but the {device.device_kind} has {gib(available)}{shared}.",
                f"Set [compute] batch_rows = {fitting_width(width, needed, available)} or less.",
            )
