"""The documented folds, written with nothing but jax.random: what a row's key must be."""

import hashlib
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import jax
import numpy as np

KEYS, SAMPLE = 0, 1


def folded(key: Any, *words: int) -> Any:
    for word in words:
        key = jax.random.fold_in(key, np.uint32(word))
    return key


def seed_key(seed: int) -> Any:
    with jax.enable_x64(True):
        return jax.random.key(seed, impl="threefry2x32")


def text_words(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return [int(digest[start : start + 8], 16) for start in (0, 8, 16, 24)]


def number_words(number: int) -> list[int]:
    return [number % 2**64 // 2**32, number % 2**32]


def value_words(value: Any) -> list[int]:
    if isinstance(value, str):
        return [2, *text_words(value)]
    if isinstance(value, datetime):
        since = value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        nanoseconds = (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
        return [4, *number_words(nanoseconds // 10**9), nanoseconds % 10**9]
    if isinstance(value, date):
        return [3, *number_words((value - date(1970, 1, 1)).days)]
    return [int(value < 0), *number_words(value)]


def of_place(seed: int, use: int, name: str, place: int) -> Any:
    return folded(seed_key(seed), use, *text_words(name), *number_words(place))


def of_values(seed: int, use: int, *values: Any) -> Any:
    return folded(seed_key(seed), use, *(word for value in values for word in value_words(value)))


def words(key: Any) -> list[int]:
    return [int(word) for word in jax.random.key_data(key)]


def is_sampled(key: Any, probability: float) -> bool:
    high, low = words(key)
    return Fraction(high * 2**32 + low, 2**64) < Fraction(probability)
