"""The results of batches as Arrow arrays, in the order of the rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.batches import encode
from jaxbatch.columns import Column, Status
from jaxbatch.input.arrow_arrays import to_arrow
from jaxbatch.kernels.results import Results


def encoded_batch(columns: Sequence[Column], results: Results, status: np.ndarray, precision: str) -> list[pa.Array]:
    """The results of a batch as Arrow arrays; null where the status is null_input or invalid_input."""
    has_results = status < Status.invalid_input
    return [
        encode.encode(
            column,
            results.values[column.name],
            has_results & results.present[column.name] if column.name in results.present else has_results,
            results.lengths,
            precision,
        )
        for column in columns
    ]


def in_order(encoded: list[list[pa.Array]], order: np.ndarray) -> list[pa.Array]:
    """The batches' arrays, column by column, in the order of the rows; ``order`` has the row number of each."""
    ordered = bool((order[1:] > order[:-1]).all())
    if ordered and len(encoded) == 1:
        return encoded[0]
    columns = [pa.concat_arrays(arrays) for arrays in zip(*encoded, strict=True)]
    if ordered:
        return columns
    back = to_arrow(np.argsort(order))
    return [column.take(back) for column in columns]
