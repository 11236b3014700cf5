"""How the objects beside an output's parts are called."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

SUCCESS = "_SUCCESS"

_RUN = re.compile(r"^_jaxbatch/runs/(?P<number>\d{7,})/(plan\.json|errors\.jsonl|report\.json|manifest\.json)$")


@dataclass(frozen=True)
class RunPaths:
    """What is written of a run: an output's only one or, where outputs grow, the so-manieth that has added to it."""

    number: int | None = None

    @property
    def folder(self) -> str:
        """The folder that they are in."""
        return "_jaxbatch" if self.number is None else f"_jaxbatch/runs/{self.number:07d}"

    @property
    def plan(self) -> str:
        """What the run is: written first."""
        return f"{self.folder}/plan.json"

    @property
    def errors(self) -> str:
        """Its failed parts and files."""
        return f"{self.folder}/errors.jsonl"

    @property
    def report(self) -> str:
        """How its last attempt went."""
        return f"{self.folder}/report.json"

    @property
    def manifest(self) -> str:
        """Its parts: written when all are there."""
        return f"{self.folder}/manifest.json"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them; what claims the run is last, for whoever removes them."""
        return (self.manifest, self.report, self.errors, self.plan)


SINGLE_RUN = RunPaths()
"""Those of the only run of an output."""


def is_record(name: str) -> bool:
    """Whether an object's name is that of a record, of whatever run."""
    return name in SINGLE_RUN.names or _RUN.match(name) is not None


def numbered(names: Iterable[str]) -> list[RunPaths]:
    """The runs that have added to an output, by the names of its objects, in order."""
    found = {int(match["number"]) for match in map(_RUN.match, names) if match}
    return [RunPaths(number) for number in sorted(found)]
