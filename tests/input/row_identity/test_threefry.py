"""Threefry by NumPy gives the bits of ``jax.random.fold_in``, one key or many, whatever the block."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.input.row_identity import threefry
from jaxbatch.input.row_identity.threefry import Keys
from tests.input.row_identity import by_jax

WORDS = st.integers(0, 2**32 - 1)


@given(st.integers(0, 2**63 - 1), st.lists(WORDS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_one_key(seed, words):
    keys = Keys.of_seed(seed)
    for word in words:
        keys = keys.folded(word)
    assert keys.pairs(1).tolist() == [by_jax.words(by_jax.folded(by_jax.seed_key(seed), *words))]


def test_known_answers():
    """Those of Random123, the authors' own library: for a count, a key and their encryption, both words of each."""
    answers = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ]
    for count, key, wanted in answers:
        high, low = (np.array([word], np.uint32) for word in count)
        first, second = (np.array([word], np.uint32) for word in key)
        threefry._encrypt(first, second, high, low)
        assert (int(high[0]), int(low[0])) == wanted


@pytest.mark.parametrize("rows", [1, 2, 6, 7, 8, 50])
def test_a_word_and_a_key_for_every_row(rows, monkeypatch):
    monkeypatch.setattr(threefry, "_BLOCK", 7)
    first, second = np.random.default_rng(rows).integers(0, 2**32, (2, rows), dtype=np.uint32)
    once = Keys.of_seed(3).folded(first)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    wanted = fold(by_jax.seed_key(3), first)
    assert once.pairs(rows).tolist() == jax.random.key_data(wanted).tolist()
    twice = jax.vmap(jax.random.fold_in)(wanted, second)
    assert once.folded(second).pairs(rows).tolist() == jax.random.key_data(twice).tolist()
    constant = jax.vmap(jax.random.fold_in, (0, None))(wanted, np.uint32(9))
    assert once.folded(9).pairs(rows).tolist() == jax.random.key_data(constant).tolist()


def test_equal_words_are_folded_once():
    keys = Keys.of_seed(5).folded(np.full(1000, 4, np.uint32))
    assert keys.single
    assert keys.pairs(3).tolist() == [by_jax.words(by_jax.folded(by_jax.seed_key(5), 4))] * 3


def test_bits_have_the_first_word_above():
    keys = Keys(np.array([1], np.uint32), np.array([2], np.uint32))
    assert keys.bits(2).tolist() == [2**32 + 2] * 2


def test_joined():
    one, two = Keys.of_seed(1), Keys.of_seed(2).folded(np.arange(3, dtype=np.uint32))
    assert Keys.joined([one, two], [2, 3]).pairs(5).tolist() == [*one.pairs(2).tolist(), *two.pairs(3).tolist()]
