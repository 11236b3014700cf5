"""Places as a slice, where that is the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxbatch.batches.places import places


@given(st.lists(st.integers(0, 30), max_size=12))
def test_they_are_the_same_places(rows):
    array = np.arange(31) ** 2
    chosen = np.array(rows, np.int64)
    assert array[places(chosen)].tolist() == array[chosen].tolist()


@pytest.mark.parametrize(("rows", "sliced"), [([4], True), ([3, 4, 5], True), ([3, 5], False), ([0, 2, 1, 3], False)])
def test_only_those_that_follow_each_other_are_a_slice(rows, sliced):
    assert isinstance(places(np.array(rows)), slice) is sliced
