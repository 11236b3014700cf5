"""The published parts of one stage: found by one listing, and each checked by the receipt in its footer."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jaxbatch.output.paths import is_part_of, part_name
from jaxbatch.output.receipt import NotAPart, Receipt, read_receipt
from jaxbatch.storage import Store

_THREADS = 8


@dataclass(frozen=True)
class Expected:
    """A part that a plan writes, and its rows; None if they depend on the data."""

    part: int
    rows: int | None


class PartCatalog:
    """The parts of a run in one folder of a store.

    Args:
        store: the output.
        folder: where in it the parts lie.
        fingerprint: the run's.
        expected: every part that the run writes there.
    """

    def __init__(self, store: Store, folder: str, fingerprint: str, expected: Sequence[Expected]):
        self.store = store
        self.folder = folder
        self.fingerprint = fingerprint
        self.expected = {part.part: part for part in expected}
        self._known: dict[str, Receipt] = {}

    def published(self) -> dict[int, Receipt]:
        """The receipts of this run's whole parts, by part: from one listing and their footers."""
        return {receipt.part: receipt for receipt, _ in self._inspect() if receipt is not None}

    def drop_damaged(self) -> dict[int, Receipt]:
        """As :meth:`published`, but parts that are not whole are removed, so that they are computed again."""
        found = self._inspect()
        if any(receipt is None for receipt, _ in found):
            found = self._inspect()  # another driver may just have written them again
        for receipt, name in found:
            if receipt is None and self._is_damaged(name):
                self.store.delete(name)
        receipts = {receipt.part: receipt for receipt, _ in found if receipt is not None}
        self.record(receipts.values())
        return receipts

    def _is_damaged(self, name: str) -> bool:
        """Whether a part is damaged still. Another driver may have written it again since it was found to be."""
        sizes = dict(self.store.list(self.folder))
        return name in sizes and self._receipt(name, sizes[name]) is None

    def record(self, receipts: Iterable[Receipt]) -> None:
        """Remember receipts of parts, so that sealing need not read their footers again."""
        self._known |= {receipt.name: receipt for receipt in receipts}

    def _inspect(self) -> list[tuple[Receipt | None, str]]:
        """The receipt and name of each object that is named as a part of this run; no receipt if it is damaged."""
        own = [
            (name, size)
            for name, size in self.store.list(self.folder)
            if is_part_of(name, self.fingerprint, self.folder)
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda entry: (self._receipt(*entry), entry[0]), own))

    def _receipt(self, name: str, size: int) -> Receipt | None:
        known = self._known.get(name)
        if known is not None and known.bytes == size:
            return known
        try:
            receipt = read_receipt(self.store, name, size)
        except (NotAPart, FileNotFoundError):
            return None
        expected = self.expected.get(receipt.part)
        fits = (
            expected is not None
            and expected.rows in (None, receipt.rows)
            and receipt.fingerprint == self.fingerprint
            and name == part_name(receipt.part, self.fingerprint, self.folder)
        )
        return receipt if fits else None
