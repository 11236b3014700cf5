"""The seal of a run: its manifest, and the success marker, which say that all parts are there."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from jaxbatch.errors import OutputError, OutputTaken
from jaxbatch.failpoints import crash_point
from jaxbatch.output.catalog import PartCatalog
from jaxbatch.output.claim import Claim
from jaxbatch.output.ownership import remove_orphans
from jaxbatch.output.paths import DATA, SINGLE_RUN, SUCCESS, is_part_name, part_name, run_of
from jaxbatch.output.records import DamagedRecord, Manifest


class Seal:
    """The seal of the run of a ``claim`` on its ``parts``.

    Args:
        claim: the run's claim to the folder.
        parts: the parts of its results.
        others: asked for the fingerprints of the other runs of an output that grows: their parts stay.
    """

    def __init__(self, claim: Claim, parts: PartCatalog, others: Callable[[], Iterable[str]] = tuple):
        self._claim = claim
        self._store = claim.store
        self._parts = parts
        self._others = others

    def is_valid(self) -> bool:
        """Whether the manifest lists just this run's parts and they lie there; and if it is the output's only run, no
        other parts, and the success marker."""
        names = {name for name, _ in self._store.list()}
        paths, run = self._claim.paths, self._claim.fingerprint
        if paths.manifest not in names or (paths == SINGLE_RUN and SUCCESS not in names):
            return False
        try:
            listed = Manifest.read_names(self._store, paths)
        except DamagedRecord:
            return False
        wanted = {part_name(part, run) for part in self._parts.expected}
        present = {name for name in names if name.startswith(f"{DATA}/") and is_part_name(name)}
        if paths != SINGLE_RUN:
            present = {name for name in present if run_of(name) == run[:8]}
        return listed == wanted == present

    def remove(self) -> None:
        """Take the success marker away, because parts are to be written."""
        self._store.delete(SUCCESS)
        crash_point("unsealed")

    def write(self, skipped: Sequence[Mapping[str, str]]) -> None:
        """Remove leftovers and late parts of other runs, write the manifest, and last the success marker.

        An output that grows gets that mark when all its runs are sealed. ``skipped`` has the ``path`` and ``reason`` of
        each input file that was left out.

        Raises:
            OutputError: a part has vanished since it was published, or another run has taken the folder.
        """
        crash_point("sealing")
        self._claim.check_owner()
        receipts = self._parts.published()
        missing = sorted(set(self._parts.expected) - set(receipts))
        if missing:
            raise OutputError(
                f"{self._store.url}: {len(missing)} parts have disappeared, the first is part {missing[0]}.",
                "Something else is changing this folder. Run again to rewrite them.",
            )
        self._store.sync(DATA)
        remove_orphans(self._store, self._others, keep={receipt.name for receipt in receipts.values()})
        self._store.remove_temporaries()
        crash_point("seal.cleaned")
        manifest = Manifest(
            fingerprint=self._claim.fingerprint,
            rows=sum(receipt.rows for receipt in receipts.values()),
            skipped_files=[dict(file) for file in skipped],
            parts=[receipts[part] for part in sorted(receipts)],
        )
        self._store.replace(self._claim.paths.manifest, manifest.to_json())
        crash_point("seal.manifest")
        self._claim.check_owner()
        if self._claim.paths == SINGLE_RUN:
            self._store.replace(SUCCESS, b"")
            try:
                self._claim.check_owner()
            except OutputTaken:
                self._store.delete(SUCCESS)  # it would vouch for another run's parts
                raise
        crash_point("sealed")
