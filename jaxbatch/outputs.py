"""The output folder: who owns it, what is there already, and how it is sealed and verified."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jaxbatch import in_flight
from jaxbatch.differences import differences
from jaxbatch.errors import ClaimedByAnother, OutputError, OutputTaken
from jaxbatch.faults import crash_point
from jaxbatch.in_flight import is_mark
from jaxbatch.parts import DATA, PARTIALS, Receipt, is_part_name, is_part_of, part_name, run_of
from jaxbatch.published import Expected, Published
from jaxbatch.records import ALONE, SUCCESS, Records, is_record, numbered
from jaxbatch.storage import Store

_FINGERPRINT = re.compile(rb'"fingerprint": "([0-9a-f]+)"')
_HEAD = 1024
"""The plan's fingerprint is among its first bytes; its layout may be long."""


class Output:
    """An output folder as one run sees it, whose records are in it; it may hold those of ``others``, by fingerprint."""

    def __init__(
        self,
        store: Store,
        fingerprint: str,
        expected: Sequence[Expected],
        records: Records = ALONE,
        others: Iterable[str] = (),
    ):
        self.store = store
        self.fingerprint = fingerprint
        self.records = records
        self._others = {other[:8] for other in others}
        self.data = Published(store, DATA, fingerprint, expected)
        """The parts of the results."""

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to another run or holds something else; changes nothing.

        Raises:
            OutputError: with the difference shown.
        """
        names = ours(self.store)
        if self.records == ALONE and (runs := numbered(names)):
            raise OutputError(
                f"{self.store.url} has grown by {len(runs)} runs, to which this job does not add.",
                'Write mode = "append" in [output], choose another path, or remove it all with --restart.',
            )
        try:
            owner = json.loads(self.store.read(self.records.plan))
            fingerprint, before = owner["fingerprint"], owner["identity"]
        except FileNotFoundError:
            if self.records == ALONE:
                check_no_orphans(self.store, names, self.fingerprint)
            return
        except (ValueError, KeyError, TypeError):
            raise OutputError(
                f"{self.store.url}/{self.records.plan} is damaged.", "Start anew with --restart."
            ) from None
        if fingerprint != self.fingerprint:
            changed = "; ".join(differences(before, identity)) or "its identity differs"
            raise ClaimedByAnother(
                f"{self.store.url} belongs to another run: {changed}.",
                "Choose another [output] path, or remove that run's output with --restart.",
            )

    def claim(self, description: Mapping[str, Any]) -> bool:
        """Write down whose folder this is, before the first part; whether it was nobody's.

        Raises:
            ClaimedByAnother: it is another's, with the difference shown.
        """
        new = self.store.create(self.records.plan, _json(description))
        if not new:
            self.check(description["identity"])
        crash_point("claimed")
        return new

    def disclaim(self) -> None:
        """Take that back, if nobody has begun to work on it."""
        names = {name for name, _ in self.store.list()}
        if self.records.manifest not in names and not any(self._is_work(name) for name in names):
            for name in self.records.names:
                self.store.delete(name)

    def _is_work(self, name: str) -> bool:
        return is_mark(name) or any(is_part_of(name, self.fingerprint, folder) for folder in (DATA, PARTIALS))

    def restart(self) -> None:
        """Remove what jaxbatch wrote here, the mark of success first.

        Raises:
            OutputError: there are other things too.
        """
        names = ours(self.store)
        for name in sorted(names, key=lambda name: (name != SUCCESS, name.startswith("data/"), name == ALONE.plan)):
            self.store.delete(name)

    @property
    def sealed(self) -> bool:
        """Whether the manifest is of just this run's parts that lie there; and the mark of success, where it has one
        to itself."""
        names = {name for name, _ in self.store.list()}
        if self.records.manifest not in names or (self.records == ALONE and SUCCESS not in names):
            return False
        try:
            listed = {part["name"] for part in json.loads(self.store.read(self.records.manifest))["parts"]}
        except (ValueError, KeyError, TypeError):
            return False
        wanted = {part_name(part, self.fingerprint) for part in self.data.expected}
        return listed == wanted == {name for name in names if name.startswith(f"{DATA}/") and self._is_mine(name)}

    def _is_mine(self, name: str) -> bool:
        """Whether it is a part, and no other run's of this output."""
        return is_part_name(name) and run_of(name) not in self._others

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
        self.store.replace(self.records.report, _json(report))

    def seal(self, skipped: Sequence[Mapping[str, str]]) -> None:
        """Remove leftovers and late parts of other runs, write the manifest, and last the mark of success: an output
        that grows gets that when all its runs are sealed (:func:`succeed`).

        Raises:
            OutputError: a part has vanished since it was published, or another run has taken the folder.
        """
        crash_point("sealing")
        self.check_owner()
        receipts = self.data.published()
        missing = sorted(set(self.data.expected) - set(receipts))
        if missing:
            raise OutputError(
                f"{self.store.url}: {len(missing)} parts have vanished, the first is part {missing[0]}.",
                "Something else changes this folder; run again to write them anew.",
            )
        self.store.settle(DATA)
        wanted = {receipt.name for receipt in receipts.values()}
        for folder in (DATA, PARTIALS):
            for name, _ in list(self.store.list(folder)):
                if self._is_mine(name) and name not in wanted:
                    self.store.delete(name)
        for name, _ in list(self.store.list(in_flight.FOLDER)):
            if is_mark(name):
                self.store.delete(name)
        self.store.sweep()
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
        self.store.replace(self.records.manifest, _json(manifest))
        crash_point("seal.manifest")
        self.check_owner()
        if self.records == ALONE:
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
        check_owner(self.store, self.fingerprint, self.records)

    def leave(self) -> None:
        """Remove this run's parts from a folder that another has taken."""
        for folder in (DATA, PARTIALS):
            for name, _ in list(self.store.list(folder)):
                if is_part_of(name, self.fingerprint, folder):
                    self.store.delete(name)


def check_owner(store: Store, fingerprint: str, records: Records) -> None:
    """See that a folder belongs to a run, by its records.

    Raises:
        OutputTaken: another has.
    """
    try:
        with store.open(records.plan) as file:
            found = _FINGERPRINT.search(file.read(_HEAD))
    except FileNotFoundError:
        found = None
    if found is None or found[1].decode() != fingerprint:
        raise OutputTaken(
            f"{store.url} was taken over by another run while this one was at work.",
            "Give each run an [output] path of its own.",
        )


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
            f"{store.url}/{receipt.name} is there already with other contents.",
            "It was altered, or this run is not reproducible: is the function pure?",
        )


def ours(store: Store) -> dict[str, int]:
    """Names and sizes of all that is in an output.

    Raises:
        OutputError: there is something that is not jaxbatch's.
    """
    names = dict(store.list())
    foreign = [name for name in names if not _is_ours(name)]
    if foreign:
        raise OutputError(
            f"{store.url} holds something else: {', '.join(sorted(foreign)[:3])}.",
            "Move it elsewhere, or choose an empty or new folder in [output] path.",
        )
    return names


def check_no_orphans(store: Store, names: Iterable[str], fingerprint: str = "") -> None:
    """See that no parts are there, but perhaps of one run, where no record says whose they are.

    Raises:
        OutputError: there are.
    """
    orphans = sorted(name for name in names if name.startswith(f"{DATA}/") and not is_part_of(name, fingerprint, DATA))
    if orphans:
        raise OutputError(f"{store.url} holds parts of another run: {orphans[0]}.", "Choose another, or --restart.")


def _is_ours(name: str) -> bool:
    return (
        name == SUCCESS or is_record(name) or name.startswith("_jaxbatch/tmp/") or is_mark(name) or is_part_name(name)
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()
