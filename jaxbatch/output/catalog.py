"""The parts of one stage that are there: found by one listing, each by the receipt in its footer."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jaxbatch.output.paths import is_part_of, part_name
from jaxbatch.output.receipt import NotAPart, Receipt, read_receipt
from jaxbatch.storage import Store

_THREADS = 8


@dataclass(frozen=True)
class Expected:
    """One part that a plan will have written; ``rows`` is None where only the data tell."""

    part: int
    rows: int | None


class PartCatalog:
    """The parts of a run in one folder of a store."""

    def __init__(self, store: Store, folder: str, fingerprint: str, expected: Sequence[Expected]):
        self.store = store
        self.folder = folder
        self.fingerprint = fingerprint
        self.expected = {part.part: part for part in expected}
        self._noted: dict[str, Receipt] = {}

    def published(self) -> dict[int, Receipt]:
        """The receipts of this run's parts that are there whole, by part; from one listing and their footers."""
        return {receipt.part: receipt for receipt, _ in self._inspect() if receipt is not None}

    def drop_damaged(self) -> dict[int, Receipt]:
        """The same; objects under this run's names that are not whole parts of it are removed, to be made again."""
        found = self._inspect()
        if any(receipt is None for receipt, _ in found):
            found = self._inspect()  # another driver may just have mended them
        for receipt, name in found:
            if receipt is None and self._is_damaged(name):
                self.store.delete(name)
        receipts = {receipt.part: receipt for receipt, _ in found if receipt is not None}
        self.record(receipts.values())
        return receipts

    def _is_damaged(self, name: str) -> bool:
        """Asked last before it is removed: another driver may just have made it anew."""
        sizes = dict(self.store.list(self.folder))
        return name in sizes and self._receipt(name, sizes[name]) is None

    def record(self, receipts: Iterable[Receipt]) -> None:
        """Remember receipts, so that sealing need not read those footers again."""
        self._noted |= {receipt.name: receipt for receipt in receipts}

    def _inspect(self) -> list[tuple[Receipt | None, str]]:
        ours = [
            (name, size)
            for name, size in self.store.list(self.folder)
            if is_part_of(name, self.fingerprint, self.folder)
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
        fits = (
            expected is not None
            and expected.rows in (None, receipt.rows)
            and receipt.fingerprint == self.fingerprint
            and name == part_name(receipt.part, self.fingerprint, self.folder)
        )
        return receipt if fits else None
