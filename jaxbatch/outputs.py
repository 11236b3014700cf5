"""The output folder: who owns it, what is there already, and how it is sealed and verified."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxbatch.differences import differences
from jaxbatch.errors import InputError, OutputError
from jaxbatch.parts import NotAPart, Receipt, is_part_name, part_name, read_receipt
from jaxbatch.storage import LocalStore, Store

PLAN = "_jaxbatch/plan.json"
ERRORS = "_jaxbatch/errors.jsonl"
REPORT = "_jaxbatch/report.json"
MANIFEST = "_jaxbatch/manifest.json"
SUCCESS = "_SUCCESS"

_THREADS = 8


@dataclass(frozen=True)
class Expected:
    """One part that a plan will have written."""

    part: int
    rows: int


def open_store(url: str) -> Store:
    """The store that an output path names.

    Raises:
        OutputError: the path cannot be a folder.
    """
    if "://" in url:
        raise InputError(f"[output] path: {url} is not on a local disk.", "This version writes to local disks only.")
    folder = Path(url)
    for ancestor in (folder, *folder.parents):
        if ancestor.exists():
            if not ancestor.is_dir():
                raise OutputError(f"{ancestor} is a file, so {url} cannot be an output folder.", "Choose another.")
            break
    return LocalStore(folder)


class Output:
    """An output folder of one run."""

    def __init__(self, store: Store, fingerprint: str, expected: Sequence[Expected]):
        self.store = store
        self.fingerprint = fingerprint
        self.expected = {part.part: part for part in expected}
        self._noted: dict[str, Receipt] = {}

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to another run or holds something else; changes nothing.

        Raises:
            OutputError: with the difference shown.
        """
        foreign = [name for name, _ in self.store.list() if not _is_ours(name)]
        if foreign:
            raise OutputError(
                f"{self.store.url} holds something else: {', '.join(sorted(foreign)[:3])}.",
                "Choose an empty or new folder in [output] path.",
            )
        try:
            owner = json.loads(self.store.read(PLAN))
            fingerprint, before = owner["fingerprint"], owner["identity"]
        except FileNotFoundError:
            orphans = [name for name, _ in self.store.list("data")]
            if any(name != part_name(_index(name), self.fingerprint) for name in orphans):
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

    def claim(self, description: Mapping[str, Any]) -> None:
        """Write down whose folder this is, before the first part."""
        if not self.store.create(PLAN, _json(description)):
            self.check(description["identity"])

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
        wanted = {part_name(part, self.fingerprint) for part in self.expected}
        return listed == wanted == {name for name in names if is_part_name(name)}

    def unseal(self) -> None:
        """Take the mark of success away, because parts are to be written."""
        self.store.delete(SUCCESS)

    def published(self) -> dict[int, Receipt]:
        """The receipts of this run's parts that are there whole, by part; from one listing and their footers."""
        return {receipt.part: receipt for receipt, _ in self._inspect() if receipt is not None}

    def recover(self) -> dict[int, Receipt]:
        """The same; objects under this run's names that are not whole parts of it are removed, to be made again."""
        found = self._inspect()
        for receipt, name in found:
            if receipt is None:
                self.store.delete(name)
        receipts = {receipt.part: receipt for receipt, _ in found if receipt is not None}
        self.note(receipts.values())
        return receipts

    def note(self, receipts: Iterable[Receipt]) -> None:
        """Remember receipts, so that sealing need not read those footers again."""
        self._noted |= {receipt.name: receipt for receipt in receipts}

    def _inspect(self) -> list[tuple[Receipt | None, str]]:
        ours = [
            (name, size)
            for name, size in self.store.list("data")
            if is_part_name(name) and name == part_name(_index(name), self.fingerprint)
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda entry: (self._receipt(*entry), entry[0]), ours))

    def _receipt(self, name: str, size: int) -> Receipt | None:
        noted = self._noted.get(name)
        if noted is not None and noted.bytes == size:
            return noted
        try:
            receipt = read_receipt(self.store, name, size)
        except (NotAPart, FileNotFoundError):
            return None
        expected = self.expected.get(receipt.part)
        fits = expected is not None and receipt.rows == expected.rows and receipt.fingerprint == self.fingerprint
        return receipt if fits and name == part_name(receipt.part, self.fingerprint) else None

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
        self._check_owner()
        receipts = self.published()
        missing = sorted(set(self.expected) - set(receipts))
        if missing:
            raise OutputError(
                f"{self.store.url}: {len(missing)} parts have vanished, the first is part {missing[0]}.",
                "Something else changes this folder; run again to write them anew.",
            )
        wanted = {receipt.name for receipt in receipts.values()}
        for name, _ in list(self.store.list("data")):
            if is_part_name(name) and name not in wanted:
                self.store.delete(name)
        self.store.sweep()
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
        self._check_owner()
        self.store.replace(SUCCESS, b"")

    def _check_owner(self) -> None:
        try:
            owner = json.loads(self.store.read(PLAN)).get("fingerprint")
        except (FileNotFoundError, ValueError, AttributeError):
            owner = None
        if owner != self.fingerprint:
            raise OutputError(
                f"{self.store.url} was taken over by another run while this one was at work.",
                "Give each run an [output] path of its own.",
            )


def publish(store: Store, data: "bytes | memoryview", receipt: Receipt) -> None:
    """Publish a part if absent. Where there is one already, it must be the same bytes.

    Raises:
        OutputError: the part there differs.
    """
    if store.create(receipt.name, data):
        return
    if store.read(receipt.name) != data:
        raise OutputError(
            f"{store.url}/{receipt.name} is there already with other contents.",
            "It was altered, or this run is not reproducible: is the function pure?",
        )


def _is_ours(name: str) -> bool:
    known = (SUCCESS, PLAN, ERRORS, REPORT, MANIFEST)
    return name in known or name.startswith("_jaxbatch/tmp/") or is_part_name(name)


def _index(name: str) -> int:
    digits = name.removeprefix("data/part-").partition("-")[0]
    return int(digits) if digits.isdigit() else -1


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()
