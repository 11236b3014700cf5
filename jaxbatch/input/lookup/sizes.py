"""How much memory a table takes: all of it by its footers, and the longest value of a column that has been read."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.input_file import InputFile, as_input_error
from jaxbatch.input.read_limits import leaves_of
from jaxbatch.input.types import is_list


def decoded_bytes(files: Iterable[InputFile], columns: Sequence[str]) -> int:
    """Bytes of some columns in memory, as far as footers tell: texts in a dictionary count as they are stored.

    Raises:
        InputError: a file cannot be read.
    """
    total = 0
    for file in files:
        with as_input_error(file.path), file.open() as opened:
            leaves = leaves_of(opened, columns)
            chunks = [group[leaf] for group in opened.chunks for leaf in leaves]
        total += sum(chunk.values * chunk.value_bytes or chunk.stored for chunk in chunks)
    return total


def longest_value(array: pa.Array) -> int:
    """Bytes of a column's longest value, or a number above that for lists of lists or of texts."""
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(map(longest_value, array.flatten()))
    if is_list(kind):
        return (pc.max(pc.list_value_length(array)).as_py() or 0) * longest_value(array.flatten())
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
        return -(-kind.bit_width // 8)
    try:
        return pc.max(pc.binary_length(array)).as_py() or 0
    except pa.ArrowNotImplementedError:  # of maps and other types that are only carried through
        return array.nbytes
