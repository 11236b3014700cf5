"""How the objects of an output are named: its parts, and the records beside them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

SUCCESS = "_SUCCESS"

DATA = "data"
"""The folder of a run's results."""

PARTIALS = "_jaxbatch/partials"
"""The folder of what a run's first stage leaves to its second, until the run is sealed."""

_PART = re.compile(rf"^({DATA}|{PARTIALS})/part-(?P<index>\d{{7,}})-(?P<run>[0-9a-f]{{8}})\.parquet$")
_RUN = re.compile(r"^_jaxbatch/runs/(?P<number>\d{7,})/(plan\.json|errors\.jsonl|report\.json|manifest\.json)$")


def part_name(index: int, fingerprint: str, folder: str = DATA) -> str:
    """The object name of a part: it ends in the run's first 8 digits."""
    return f"{folder}/part-{index:07d}-{fingerprint[:8]}.parquet"


def is_part_name(name: str) -> bool:
    """Whether a name is that of a part, of any run."""
    return _PART.match(name) is not None


def is_part_of(name: str, fingerprint: str, folder: str) -> bool:
    """Whether a name is that of a part of this run."""
    found = _PART.match(name)
    return found is not None and name == part_name(int(found["index"]), fingerprint, folder)


def run_of(name: str) -> str | None:
    """The first 8 digits of the fingerprint of a part's run, by the part's name; None if it is not a part's."""
    found = _PART.match(name)
    return found["run"] if found else None


@dataclass(frozen=True)
class RunPaths:
    """The records of one run: an output's only run or, in an output that grows, the run of that ``number``."""

    number: int | None = None

    @property
    def folder(self) -> str:
        """The folder that holds them."""
        return "_jaxbatch" if self.number is None else f"_jaxbatch/runs/{self.number:07d}"

    @property
    def plan(self) -> str:
        """What the run is: written first, and so its claim to the output."""
        return f"{self.folder}/plan.json"

    @property
    def errors(self) -> str:
        """The failed parts and files of its latest attempt."""
        return f"{self.folder}/errors.jsonl"

    @property
    def report(self) -> str:
        """How its latest attempt went."""
        return f"{self.folder}/report.json"

    @property
    def manifest(self) -> str:
        """Its parts: written when all are there."""
        return f"{self.folder}/manifest.json"

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the claim last: whoever removes them must remove it last."""
        return (self.manifest, self.report, self.errors, self.plan)


SINGLE_RUN = RunPaths()
"""The records of an output's only run."""


def is_record(name: str) -> bool:
    """Whether an object's name is that of a record, of any run."""
    return name in SINGLE_RUN.names or _RUN.match(name) is not None


def numbered(names: Iterable[str]) -> list[RunPaths]:
    """The runs that have added to an output, by the names of its objects, in order."""
    found = {int(match["number"]) for match in map(_RUN.match, names) if match}
    return [RunPaths(number) for number in sorted(found)]
