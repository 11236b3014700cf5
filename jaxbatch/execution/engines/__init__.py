"""Engines: they change when and where work happens, never what is written.

Here is what an engine is, and the one of threads; the one of Ray is :mod:`jaxbatch.cluster.engine`. Begin with
``local.py``; ``retries.py`` counts attempts for both.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from jaxbatch.compilation.devices import Device
from jaxbatch.compilation.programs import Programs
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.planning.plan import Plan


class Engine(Protocol):
    """Runs the outstanding parts of a plan."""

    @property
    def device(self) -> Device:
        """What computes."""
        ...

    @property
    def workers(self) -> int:
        """How many shards (local) or worker processes (Ray) are at work at once."""
        ...

    @property
    def max_concurrency(self) -> int:
        """Shards that may be in flight at once."""
        ...

    def adopt(self, programs: Programs, *, ahead: bool) -> None:
        """Take over what planning has traced, if workers are in this process, and compile it ``ahead`` of the run."""
        ...

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """The outcomes of shards as they come.

        ``outstanding`` has the parts to write, by shard. Every one of them ends in exactly one receipt or
        failure; a shard that is tried again yields its failures once, at the last attempt.
        """
        ...

    def close(self) -> None:
        """Stop all work."""
        ...
