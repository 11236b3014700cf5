"""Which datasets are computed together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.least_squares.statistics.lengths import alike, padded
from jaxbatch.least_squares.statistics.slices import BLOCK_ROWS


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3 * BLOCK_ROWS), max_size=50).map(lambda each: np.array(each, np.int64)))
def test_like_lengths_are_computed_together(lengths):
    found = list(alike(lengths))
    short = np.flatnonzero((lengths > 0) & (lengths <= BLOCK_ROWS))
    assert sorted(each for group in found for each in group) == short.tolist()
    assert all(lengths[group].max() <= lengths[group].min() * 9 / 8 for group in found)


def test_datasets_are_padded_by_their_last_rows():
    rows, padding = padded(np.array([0, 2]), np.array([2, 3]), 4)
    assert rows.tolist() == [[0, 1, 1, 1], [2, 3, 4, 4]]
    assert padding.tolist() == [[False, False, True, True], [False, False, False, True]]
