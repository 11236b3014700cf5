"""A million rows: what is drawn is uniform, and independent of its neighbours, of other seeds and of the sample."""

from fractions import Fraction

import jax
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2

from jaxbatch.input.row_identity.draws import RANDOM_KEY, sampled, with_keys
from jaxbatch.input.row_identity.identity import RowIdentity
from jaxbatch.input.row_identity.row_numbers import NUMBER, starts
from jaxbatch.input.row_identity.threefry import Keys
from tests.input.row_identity import by_jax

ROWS = 1_000_000
BY_FILE = RowIdentity(names=("a.parquet", "b.parquet"))
NUMBERED = pa.table({NUMBER: np.arange(ROWS)})
BY_ID = RowIdentity(("id",))
IDS = pa.table({"id": np.arange(ROWS)})
BY_ROWS = pytest.mark.parametrize(("named_by", "table"), [(BY_FILE, NUMBERED), (BY_ID, IDS)], ids=["place", "id"])


def uniform(table: pa.Table, named_by: RowIdentity, seed: int) -> np.ndarray:
    pairs = with_keys(table, named_by, seed)[RANDOM_KEY].combine_chunks().to_numpy().view(np.uint32).reshape(-1, 2)
    keys = jax.random.wrap_key_data(pairs, impl="threefry2x32")
    return np.asarray(jax.vmap(lambda key: jax.random.uniform(key, dtype="float32"))(keys), np.float64)


def assert_even(counts: np.ndarray) -> None:
    """By the chi-square test; a fair source fails at either end once in 500 times, and seeds here are fixed."""
    wanted = counts.sum() / len(counts)
    statistic = ((counts - wanted) ** 2 / wanted).sum()
    assert chi2.ppf(0.001, len(counts) - 1) < statistic < chi2.ppf(0.999, len(counts) - 1)


def assert_uncorrelated(one: np.ndarray, other: np.ndarray) -> None:
    assert abs(np.corrcoef(one, other)[0, 1]) < 3.5 / np.sqrt(len(one))


@BY_ROWS
def test_uniform(named_by, table):
    drawn = uniform(table, named_by, 7)
    assert_even(np.bincount((drawn * 1000).astype(int), minlength=1000))
    pairs = (drawn[:-1] * 30).astype(int) * 30 + (drawn[1:] * 30).astype(int)
    assert_even(np.bincount(pairs[::2], minlength=900))
    words = named_by.keys(table, 7, by_jax.KEYS).pairs(ROWS)
    for bit in range(32):
        ones = np.count_nonzero(words & np.uint32(1 << bit), axis=0)
        assert (np.abs(ones - ROWS / 2) < 4 * np.sqrt(ROWS) / 2).all()
    assert len(np.unique(words.view(np.uint64))) == ROWS


@BY_ROWS
def test_independent(named_by, table):
    drawn = uniform(table, named_by, 7)
    for lag in (1, 2, 64, 4096):
        assert_uncorrelated(drawn[:-lag], drawn[lag:])
    assert_uncorrelated(drawn, uniform(table, named_by, 8))
    assert_uncorrelated(drawn, named_by.keys(table, 7, by_jax.SAMPLE).bits(ROWS).astype(np.float64))
    assert_uncorrelated(drawn, np.arange(ROWS))
    kept = sampled(table, named_by, 7, 0.1)
    assert_even(np.bincount((drawn[kept] * 100).astype(int), minlength=100))


def test_files_are_independent():
    other = pa.table({NUMBER: np.arange(ROWS) + starts(1, [1])[0]})
    assert_uncorrelated(uniform(NUMBERED, BY_FILE, 7), uniform(other, BY_FILE, 7))


@pytest.mark.parametrize("probability", [0.5, 0.1, 1e-3])
def test_how_many_are_sampled(probability):
    for seed in (0, 1):
        kept = np.count_nonzero(sampled(NUMBERED, BY_FILE, seed, probability))
        assert abs(kept - ROWS * probability) < 4 * np.sqrt(ROWS * probability * (1 - probability))


def test_a_smaller_sample_is_part_of_a_larger_one():
    few, many = (sampled(NUMBERED, BY_FILE, 0, probability) for probability in (0.1, 0.2))
    assert (many | ~few).all()


def test_the_documented_sample():
    found = sampled(IDS.slice(0, 200), BY_ID, 3, 0.3)
    wanted = [by_jax.is_sampled(by_jax.of_values(3, by_jax.SAMPLE, row), 0.3) for row in range(200)]
    assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("probability", "last"),
    [(1.0, 2**64 - 1), (0.5, 2**63 - 1), (2.0**-64, 0), (5e-324, 0), (0.1, int(Fraction(0.1) * 2**64) - 1)],
)
def test_the_threshold_is_exact(probability, last, monkeypatch):
    """0.1 as a double times 2⁶⁴ is whole, so that itself is outside."""
    assert (Fraction(probability) * 2**64).denominator == 1 or probability < 1e-300
    for bits, kept in ((last, True), (last + 1, False)):
        if bits < 2**64:
            keys = Keys(np.array([bits >> 32], np.uint32), np.array([bits % 2**32], np.uint32))
            monkeypatch.setattr(RowIdentity, "keys", lambda *_, keys=keys: keys)
            assert sampled(IDS.slice(0, 1), BY_ID, 0, probability).tolist() == [kept]


def test_rows_without_a_name():
    table = pa.table({"id": pa.array([1, None, 3])})
    assert sampled(table, BY_ID, 0, 1.0).tolist() == [True, False, True]
    assert with_keys(table, BY_ID, 0)[RANDOM_KEY].is_null().to_pylist() == [False, True, False]


def test_no_rows():
    assert sampled(IDS.slice(0, 0), BY_ID, 0, 0.5).tolist() == []
    assert with_keys(NUMBERED.slice(0, 0), BY_FILE, 0).column_names == [NUMBER, RANDOM_KEY]
