"""Engines: they change when and where work happens, never what is written.

Here is what an engine is, and the one of threads; the one of Ray is :mod:`jaxbatch.cluster.engine`. Begin with
``local.py``; ``retries.py`` counts attempts for both.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from jaxbatch.compilation.devices import Device
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.stage_plans import StagePlan


class Engine(Protocol):
    """Computes the outstanding parts of a plan."""

    name: str
    """What ``--engine`` calls it, and a run's report."""

    @property
    def device(self) -> Device:
        """The device that computes."""
        ...

    @property
    def workers(self) -> int:
        """How many shards (local) or worker processes (Ray) may be at work at once."""
        ...

    @property
    def max_concurrency(self) -> int:
        """How many shards may be in flight at once: being computed, read or written."""
        ...

    def adopt(self, programs: ProgramSet, *, ahead: bool) -> None:
        """Take over the programs that planning has traced, if workers are in this process.

        With ``ahead`` begin to compile them, before :meth:`run` is called.
        """
        ...

    def run(self, plan: Plan, stage: StagePlan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """Write the ``outstanding`` parts of a stage, given by shard; yields the results of shards as they come.

        Every part ends in exactly one receipt or failure. A shard that is retried yields several results, of which
        the last has the parts that failed for good.
        """
        ...

    def close(self) -> None:
        """Stop all work."""
        ...
