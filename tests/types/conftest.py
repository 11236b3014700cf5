"""What the tests of the table share: the job, its refusal, and the ways to store a column."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from jaxbatch.errors import ExitCode, InputError, JobError
from jaxbatch.planning.planner import plan

APPLY = """
kernel = "apply"
[params]
function = "own.py:f"
[input]
path = "tasks"
[limits]
max_failed_rows = "100%"
"""
KEPT = APPLY.replace('[input]\npath = "tasks"', '[input]\npath = "tasks"\nkeep = KEEP')
DERIVATIVES = APPLY.replace('"apply"', '"derivatives"')


GROUPED = """
kernel = "count.py:Count"
[params]
by = BY
[input]
path = "tasks"
"""


@pytest.fixture
def refusal(bench) -> Callable[..., str]:
    """The message with which a job is refused by its plan, exit 4."""

    def refusal(text: str, *overrides: str) -> str:
        with pytest.raises((InputError, JobError)) as caught:
            plan(bench.job(text, "job.toml", *overrides))
        assert caught.value.exit_code == ExitCode.REFUSED
        return str(caught.value)

    return refusal


def padded(array: pa.Array, length: int) -> pa.Array:
    return pa.concat_arrays([array, pa.nulls(length - len(array), array.type)])


def same(found: pa.Array, written: pa.Array) -> bool:
    """Whether two arrays have the same values, to the bit: NaNs with their payloads, and zeros with their signs."""
    if not pa.types.is_floating(written.type):
        return found.equals(written)
    bits = pa.Array.from_buffers(pa.binary(written.type.bit_width // 8), len(written), written.buffers())
    return bits.equals(pa.Array.from_buffers(bits.type, len(found), found.buffers(), offset=found.offset))


def dictionary(array: pa.Array, index: pa.DataType) -> pa.Array:
    """The same values as a dictionary, where one can be written to Parquet."""
    kind = array.type
    if pa.types.is_null(kind) or any(test(kind) for test in (pa.types.is_string_view, pa.types.is_binary_view)):
        return array
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return array
    if pa.types.is_floating(kind):  # by value a dictionary holds one NaN
        values = array.drop_null()
        return pa.DictionaryArray.from_arrays(padded(pa.array(range(len(values)), index), len(array)), values)
    encoded = array.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(index), encoded.dictionary, ordered=len(array) % 2 == 0)


INDICES = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()]
"""Those of 64 unsigned bits pyarrow does not write."""
