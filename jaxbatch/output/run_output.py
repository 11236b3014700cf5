"""An output folder as one run sees it, and what the run's latest attempt leaves there beside its parts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxbatch.output.catalog import Expected, PartCatalog
from jaxbatch.output.claim import Claim
from jaxbatch.output.paths import DATA, SINGLE_RUN, RunPaths
from jaxbatch.output.records import as_json
from jaxbatch.output.seal import Seal
from jaxbatch.storage import Store


class RunOutput:
    """The claim, the parts and the seal of one run in an output folder.

    Args:
        store: the folder.
        fingerprint: the run's.
        expected: every part of its results.
        paths: where its records are.
        others: asked for the fingerprints of the other runs of an output that grows: their parts stay.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: str,
        expected: Sequence[Expected],
        paths: RunPaths = SINGLE_RUN,
        others: Callable[[], Iterable[str]] = tuple,
    ):
        self.store = store
        self.paths = paths
        self.claim = Claim(store, fingerprint, paths)
        self.data = PartCatalog(store, DATA, fingerprint, expected)
        """The parts of the results."""
        self.seal = Seal(self.claim, self.data, others)

    def record_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Write the failed parts and files of the latest attempt, or remove that record if there are none."""
        if errors:
            self.store.replace(self.paths.errors, "".join(json.dumps(error) + "\n" for error in errors).encode())
        else:
            self.store.delete(self.paths.errors)

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write how the latest attempt went."""
        self.store.replace(self.paths.report, as_json(report))
