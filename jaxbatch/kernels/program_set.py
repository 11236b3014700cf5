"""What a process knows of a kernel's programs. For a kernel that NumPy computes: that there are none."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jaxbatch.kernels.base import Kernel

if TYPE_CHECKING:
    from jaxbatch.compilation.trace import TracedProgram


class ProgramSet:
    """The programs of a kernel that needs none; of all others, :class:`~jaxbatch.compilation.programs.Programs`.

    Args:
        kernel: bound to its input.
        dtype: the run's precision, ``"float32"`` or ``"float64"``.
    """

    def __init__(self, kernel: Kernel, dtype: str):
        self.kernel = kernel
        self.dtype = dtype

    @property
    def compilations(self) -> int:
        """How many programs have been compiled so far, or loaded."""
        return 0

    @property
    def seconds(self) -> float:
        """How many seconds that has taken."""
        return 0.0

    def smallest_traces(self) -> "Iterator[TracedProgram]":
        """One traced program per bucket of every stage, its named dimensions at their smallest."""
        yield from ()

    def digests(self) -> Iterator[str]:
        """A digest of what each of those programs does."""
        yield from ()

    def described(self) -> list[dict[str, Any]]:
        """For people, of each bucket of every stage its smallest program: sizes, width, and the bytes of a batch."""
        return []

    def check_pure(self) -> None:
        """Check that functions trace to the same program twice, as pure functions do."""

    def share(self, max_concurrency: int, workers_per_node: int = 1) -> None:
        """Divide a device's memory by the batches that are computed at once in all processes that use it."""

    def prepare_ahead(self, device: Any) -> None:
        """Compile in the background what all rows need."""

    def check_memory(self, device: Any) -> None:
        """Check that a batch of each program fits the device."""
