"""The output folder: who owns it, what is there already, and how it is sealed and verified."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jaxbatch import in_flight
from jaxbatch.differences import differences
from jaxbatch.errors import OutputError, OutputTaken
from jaxbatch.faults import crash_point
from jaxbatch.in_flight import is_mark
from jaxbatch.parts import DATA, PARTIALS, Receipt, is_part_name, is_part_of, part_name
from jaxbatch.published import Expected, Published
from jaxbatch.storage import Store

PLAN = "_jaxbatch/plan.json"
ERRORS = "_jaxbatch/errors.jsonl"
REPORT = "_jaxbatch/report.json"
MANIFEST = "_jaxbatch/manifest.json"
SUCCESS = "_SUCCESS"

_FINGERPRINT = re.compile(rb'"fingerprint": "([0-9a-f]+)"')
_HEAD = 1024
"""The plan's fingerprint is among its first bytes; its layout may be long."""


class Output:
    """An output folder of one run."""

    def __init__(self, store: Store, fingerprint: str, expected: Sequence[Expected]):
        self.store = store
        self.fingerprint = fingerprint
        self.data = Published(store, DATA, fingerprint, expected)
        """The parts of the results."""

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to another run or holds something else; changes nothing.

        Raises:
            OutputError: with the difference shown.
        """
        foreign = [name for name, _ in self.store.list() if not _is_ours(name)]
        if foreign:
            raise OutputError(
                f"{self.store.url} holds something else: {', '.join(sorted(foreign)[:3])}.",
                "Move it elsewhere, or choose an empty or new folder in [output] path.",
            )
        try:
            owner = json.loads(self.store.read(PLAN))
            fingerprint, before = owner["fingerprint"], owner["identity"]
        except FileNotFoundError:
            orphans = [name for name, _ in self.store.list("data")]
            if any(not is_part_of(name, self.fingerprint, DATA) for name in orphans):
                raise OutputError(
                    f"{self.store.url} holds parts of another run: {orphans[0]}.",
                    "Choose another, or --restart.",
                ) from None
            return
        except (ValueError, KeyError, TypeError):
            raise OutputError(f"{self.store.url}/{PLAN} is damaged.", "Start anew with --restart.") from None
        if fingerprint != self.fingerprint:
            changed = "; ".join(differences(before, identity)) or "its identity differs"
            raise OutputError(
                f"{self.store.url} belongs to another run: {changed}.",
                "Choose another [output] path, or remove that run's output with --restart.",
            )

    def claim(self, description: Mapping[str, Any]) -> bool:
        """Write down whose folder this is, before the first part; whether it was nobody's."""
        new = self.store.create(PLAN, _json(description))
        if not new:
            self.check(description["identity"])
        crash_point("claimed")
        return new

    def disclaim(self) -> None:
        """Take that back, if nobody has begun to work on it."""
        if all(name in (PLAN, REPORT, ERRORS) for name, _ in self.store.list()):
            self.store.delete(PLAN)

    def restart(self) -> None:
        """Remove what jaxbatch wrote here, the mark of success first.

        Raises:
            OutputError: there are other things too.
        """
        names = [name for name, _ in self.store.list()]
        foreign = [name for name in names if not _is_ours(name)]
        if foreign:
            raise OutputError(
                f"{self.store.url} holds something else: {', '.join(sorted(foreign)[:3])}.",
                "Remove it by hand.",
            )
        for name in sorted(names, key=lambda name: (name != SUCCESS, name.startswith("data/"), name == PLAN)):
            self.store.delete(name)

    @property
    def sealed(self) -> bool:
        """Whether the mark of success is there, and a manifest of just the parts that lie there."""
        names = {name for name, _ in self.store.list()}
        if not {SUCCESS, MANIFEST} <= names:
            return False
        try:
            listed = {part["name"] for part in json.loads(self.store.read(MANIFEST))["parts"]}
        except (ValueError, KeyError, TypeError):
            return False
        wanted = {part_name(part, self.fingerprint) for part in self.data.expected}
        return listed == wanted == {name for name, _ in self.store.list(DATA) if is_part_name(name)}

    def unseal(self) -> None:
        """Take the mark of success away, because parts are to be written."""
        self.store.delete(SUCCESS)
        crash_point("unsealed")

    def record_errors(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Write the failed parts and files of the latest attempt, or remove the record where there are none."""
        if errors:
            self.store.replace(ERRORS, "".join(json.dumps(error) + "\n" for error in errors).encode())
        else:
            self.store.delete(ERRORS)

    def report(self, report: Mapping[str, Any]) -> None:
        """Write the report of the latest attempt."""
        self.store.replace(REPORT, _json(report))

    def seal(self, skipped: Sequence[Mapping[str, str]]) -> None:
        """Remove leftovers and late parts of other runs, write the manifest, and last the mark of success.

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
                if is_part_name(name) and name not in wanted:
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
        self.store.replace(MANIFEST, _json(manifest))
        crash_point("seal.manifest")
        self.check_owner()
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
        check_owner(self.store, self.fingerprint)

    def leave(self) -> None:
        """Remove this run's parts from a folder that another has taken."""
        for folder in (DATA, PARTIALS):
            for name, _ in list(self.store.list(folder)):
                if is_part_of(name, self.fingerprint, folder):
                    self.store.delete(name)


def check_owner(store: Store, fingerprint: str) -> None:
    """See that a folder belongs to a run.

    Raises:
        OutputTaken: another has.
    """
    try:
        with store.open(PLAN) as file:
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


def _is_ours(name: str) -> bool:
    known = (SUCCESS, PLAN, ERRORS, REPORT, MANIFEST)
    return name in known or name.startswith("_jaxbatch/tmp/") or is_mark(name) or is_part_name(name)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()
