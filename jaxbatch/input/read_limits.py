"""How many rows of a row group may be decoded at once, so that memory is bounded whatever the file holds."""

from collections.abc import Sequence

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.input_file import InputFile, OpenFile

READ_BYTES = 64 * 2**20
"""Bytes of a column that are decoded at once, unless one row has more; and bytes of texts and lists taken at once."""

_UNKNOWN_ROWS = 16
"""Rows decoded at once where texts are stored by the prefix they share and no statistic tells how long they are."""


def leaves_of(opened: OpenFile, columns: Sequence[str]) -> list[int]:
    """The numbers of the Parquet columns in which ``columns`` are stored; none if the file has no row group."""
    return [n for group in opened.chunks[:1] for n, chunk in enumerate(group) if chunk.names[0] in columns]


def rows_at_once(file: InputFile, opened: OpenFile, index: int, leaves: Sequence[int]) -> int:
    """How many rows of a row group may be decoded at once, at least 1.

    A dictionary or a run can make gigabytes of a few stored bytes, so what counts is their size once decoded.

    Args:
        file: the file, to be opened once more where the length of its texts must be known.
        opened: the same file, open.
        index: the row group's number.
        leaves: the numbers of the Parquet columns that are read.
    """
    rows, fitting = file.row_groups[index], READ_BYTES
    for number in leaves:
        chunk = opened.chunks[index][number]
        stored = max(chunk.stored, 1)
        decoded = max(stored, chunk.values * chunk.value_bytes)
        fitting = min(fitting, READ_BYTES * rows // decoded)
        if chunk.physical_type != "BYTE_ARRAY" or rows * stored <= READ_BYTES:
            continue  # no text is longer than all that is stored, so they all fit
        if len(chunk.names) > 1 or chunk.is_decimal or chunk.is_incremental:
            fitting = min(fitting, max(READ_BYTES // stored, _UNKNOWN_ROWS))
        elif chunk.has_dictionary:
            fitting = min(fitting, READ_BYTES // max(_longest(file, index, chunk.path), 1))
    return max(fitting, 1)


def _longest(file: InputFile, index: int, path: str) -> int:
    """The length of a column's longest text, from the row group's dictionary: nothing else is decoded."""
    with file.open(read_dictionary=[path]) as opened:
        for batch in opened.parquet.iter_batches(batch_size=1024, row_groups=[index], columns=[path]):
            dictionary = batch.column(0).dictionary
            if len(dictionary):
                return pc.max(pc.binary_length(dictionary)).as_py()
    return 0
