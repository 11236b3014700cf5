"""The output folder: who owns it, what is there already, and how it is sealed and verified."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jaxbatch.errors import ClaimedByAnother, OutputError, OutputTaken
from jaxbatch.failpoints import crash_point
from jaxbatch.output import in_flight, ownership
from jaxbatch.output.catalog import Expected, PartCatalog
from jaxbatch.output.differences import differences
from jaxbatch.output.ownership import TOMBSTONE, as_json, check_no_orphans, list_owned, remove_orphans, tombstone
from jaxbatch.output.part_file import DATA, PARTIALS, Receipt, is_part_name, is_part_of, part_name, run_of
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, is_record, numbered
from jaxbatch.storage import Store


class Output:
    """An output folder as one run sees it. It may hold ``others`` beside it, whose fingerprints are asked for when what
    is of no run is to be removed."""

    def __init__(
        self,
        store: Store,
        fingerprint: str,
        expected: Sequence[Expected],
        records: RunPaths = SINGLE_RUN,
        others: Callable[[], Iterable[str]] = tuple,
    ):
        self.store = store
        self.fingerprint = fingerprint
        self.records = records
        self._others = others
        self.data = PartCatalog(store, DATA, fingerprint, expected)
        """The parts of the results."""

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to another run or holds something else; changes nothing.

        Raises:
            OutputError: with the difference shown.
        """
        names = list_owned(self.store)
        if self.records == SINGLE_RUN and (runs := numbered(names)):
            raise OutputError(
                f'{self.store.url} holds {len(runs)} appended runs, but this job is not in mode "append".',
                'Set mode = "append" in [output], choose another path, or delete everything there with --restart.',
            )
        try:
            owner = json.loads(self.store.read(self.records.plan))
            if owner == TOMBSTONE:
                raise ClaimedByAnother(
                    f"{self.store.url}: run {self.records.number} was dropped by a --restart.", "Run again."
                )
            fingerprint, before = owner["fingerprint"], owner["identity"]
        except FileNotFoundError:
            if self.records == SINGLE_RUN:
                check_no_orphans(self.store, names, self.fingerprint)
            return
        except (ValueError, KeyError, TypeError):
            raise OutputError(
                f"{self.store.url}/{self.records.plan} is damaged.", "Start over with --restart."
            ) from None
        if fingerprint != self.fingerprint:
            changed = "; ".join(differences(before, identity)) or "its identity differs"
            raise ClaimedByAnother(
                f"{self.store.url} belongs to another run: {changed}.",
                "Choose another [output] path, or delete that run's output with --restart.",
            )

    def is_ours(self) -> bool:
        """Whether the folder says that it is this run's."""
        try:
            self.check_owner()
        except OutputTaken:
            return False
        return True

    def claim(self, description: Mapping[str, Any]) -> bool:
        """Write down whose folder this is, before the first part; whether it was nobody's.

        Raises:
            ClaimedByAnother: it is another's, with the difference shown.
        """
        new = self.store.create(self.records.plan, as_json(description))
        if not new:
            self.check(description["identity"])
        crash_point("claimed")
        return new

    def take_over(self, description: Mapping[str, Any]) -> None:
        """Make the folder this run's, whoever's it was, and remove what is not.

        Two that do so for one run write the same and remove nothing of each other's that is not made again.

        Raises:
            OutputError: there is something that is not jaxbatch's.
        """
        names = list_owned(self.store)
        self.store.delete(SUCCESS)
        self.store.replace(self.records.plan, as_json(description))
        crash_point("claimed")
        for name in names:
            of_another = run_of(name) not in (None, self.fingerprint[:8])
            if of_another or (is_record(name) and name != self.records.plan):
                self.store.delete(name)

    def disclaim(self) -> None:
        """Take a claim back, if nobody has begun to work on it. A number is never given to another run."""
        names = {name for name, _ in self.store.list()}
        if self.records.manifest in names or any(self._is_work(name) for name in names):
            return
        if self.records == SINGLE_RUN:
            self.store.delete(self.records.plan)
        else:
            tombstone(self.store, self.records)

    def _is_work(self, name: str) -> bool:
        return in_flight.run_of(name) == self.fingerprint[:8] or run_of(name) == self.fingerprint[:8]

    def restart(self) -> None:
        """Remove what jaxbatch wrote here, the mark of success first.

        Raises:
            OutputError: there are other things too.
        """
        names = list_owned(self.store)
        for name in sorted(
            names, key=lambda name: (name != SUCCESS, name.startswith("data/"), name == SINGLE_RUN.plan)
        ):
            self.store.delete(name)

    @property
    def sealed(self) -> bool:
        """Whether the manifest is of just this run's parts and they lie there; and where it is the only run, no other
        parts, and the mark of success."""
        names = {name for name, _ in self.store.list()}
        if self.records.manifest not in names or (self.records == SINGLE_RUN and SUCCESS not in names):
            return False
        try:
            listed = {part["name"] for part in json.loads(self.store.read(self.records.manifest))["parts"]}
        except (ValueError, KeyError, TypeError):
            return False
        wanted = {part_name(part, self.fingerprint) for part in self.data.expected}
        there = {name for name in names if name.startswith(f"{DATA}/") and is_part_name(name)}
        if self.records != SINGLE_RUN:
            there = {name for name in there if run_of(name) == self.fingerprint[:8]}
        return listed == wanted == there

    def unseal(self) -> None:
        """Take the mark of success away, because parts are to be written."""
        self.store.delete(SUCCESS)
        crash_point("unsealed")

    def record_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Write the failed parts and files of the latest attempt, or remove the record where there are none."""
        if errors:
            self.store.replace(self.records.errors, "".join(json.dumps(error) + "\n" for error in errors).encode())
        else:
            self.store.delete(self.records.errors)

    def report(self, report: Mapping[str, Any]) -> None:
        """Write the report of the latest attempt."""
        self.store.replace(self.records.report, as_json(report))

    def seal(self, skipped: Sequence[Mapping[str, str]]) -> None:
        """Remove leftovers and late parts of other runs, write the manifest, and last the mark of success: an output
        that grows gets that when all its runs are sealed.

        Raises:
            OutputError: a part has vanished since it was published, or another run has taken the folder.
        """
        crash_point("sealing")
        self.check_owner()
        receipts = self.data.published()
        missing = sorted(set(self.data.expected) - set(receipts))
        if missing:
            raise OutputError(
                f"{self.store.url}: {len(missing)} parts have disappeared, the first is part {missing[0]}.",
                "Something else is changing this folder. Run again to rewrite them.",
            )
        self.store.settle(DATA)
        remove_orphans(self.store, self._others, keep={receipt.name for receipt in receipts.values()})
        self.store.remove_temporaries()
        crash_point("seal.cleaned")
        parts = [
            {key: value for key, value in asdict(receipts[part]).items() if key != "fingerprint"}
            for part in sorted(receipts)
        ]
        manifest = {
            "fingerprint": self.fingerprint,
            "rows": sum(receipt.rows for receipt in receipts.values()),
            "skipped_files": list(skipped),
            "parts": parts,
        }
        self.store.replace(self.records.manifest, as_json(manifest))
        crash_point("seal.manifest")
        self.check_owner()
        if self.records == SINGLE_RUN:
            self.store.replace(SUCCESS, b"")
            try:
                self.check_owner()
            except OutputTaken:
                self.store.delete(SUCCESS)  # which says something of parts that are not ours
                raise
        crash_point("sealed")

    def check_owner(self) -> None:
        """See that the folder still belongs to this run.

        Raises:
            OutputTaken: another has.
        """
        ownership.check_owner(self.store, self.fingerprint, self.records)

    def leave(self) -> None:
        """Remove this run's parts from a folder that another has taken."""
        for folder in (DATA, PARTIALS):
            for name, _ in list(self.store.list(folder)):
                if is_part_of(name, self.fingerprint, folder):
                    self.store.delete(name)


def publish(store: Store, data: "bytes | memoryview", receipt: Receipt) -> None:
    """Publish a part if absent. Where there is one already, it must be the same bytes.

    Raises:
        OutputError: the part there differs.
    """
    while not store.create(receipt.name, data):
        try:
            there = store.read(receipt.name)
        except FileNotFoundError:
            continue  # it was removed in between, by a restart or a recovery
        if there == data:
            return
        raise OutputError(
            f"{store.url}/{receipt.name} already exists with other contents.",
            "It was altered, or this run is not reproducible: is the function pure?",
        )
