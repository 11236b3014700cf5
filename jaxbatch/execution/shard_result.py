"""The result of a shard: receipts, failures, and where the time went."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jaxbatch.output.receipt import Receipt


@dataclass(frozen=True)
class Failure:
    """A part that could not be written, and why."""

    part: int
    reason: str


@dataclass
class ShardResult:
    """The result of one attempt at a shard: receipts of the parts published, failures, and seconds by stage."""

    shard: int
    worker: str = ""
    """The process that computed it, as host:pid."""
    receipts: list[Receipt] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    elements: int = 0
    """Elements of all rows' ragged columns."""
    padded_elements: int = 0
    """Elements of the padded batches that those rows were computed in."""
    compilations: int = 0
    """How many programs its worker has compiled so far."""
    compile_s: float = 0.0
    """How many seconds its worker has spent compiling so far."""

    @property
    def padding(self) -> Counter[str]:
        """``elements`` and ``padded`` elements, to be summed over shards."""
        return Counter(elements=self.elements, padded=self.padded_elements)

    def include(self, other: "ShardResult") -> None:
        """Add the seconds and elements that another thread has counted for a chunk of this shard."""
        for name, seconds in other.stages.items():
            self.add(name, seconds)
        self.elements += other.elements
        self.padded_elements += other.padded_elements

    def add(self, name: str, seconds: float) -> None:
        """Count seconds towards a stage."""
        if seconds:
            self.stages[name] = self.stages.get(name, 0.0) + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block towards a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)
