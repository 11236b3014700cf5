"""Threefry-2x32 by NumPy, and JAX's ``fold_in``: the same bits as ``jax.random`` gives, without JAX.

Threefry: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011, section 4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_ROUNDS_BETWEEN_KEYS = 5
_BLOCK = 32768
"""Rows at a time: few enough for a core's own cache, and so many that calling NumPy costs little."""


@dataclass(frozen=True)
class Keys:
    """Threefry keys: the two words of one key as arrays ``[1]``, or of a key for every row as arrays ``[rows]``."""

    high: np.ndarray
    low: np.ndarray

    @staticmethod
    def of_seed(seed: int) -> "Keys":
        """The key of a seed of up to 63 bits, as ``jax.random.key`` makes it where JAX has 64-bit types."""
        return Keys(_word(seed >> 32), _word(seed & 0xFFFFFFFF))

    @staticmethod
    def joined(parts: "Sequence[Keys]", lengths: Sequence[int]) -> "Keys":
        """The keys of rows of which so many have the keys of each part."""
        if len(parts) == 1:
            return parts[0]
        each = zip(*(part._repeated(rows) for part, rows in zip(parts, lengths, strict=True)), strict=True)
        return Keys(*map(np.concatenate, each))

    @property
    def single(self) -> bool:
        """Whether there is one key for all rows."""
        return len(self.high) == 1

    def folded(self, words: "int | np.ndarray") -> "Keys":
        """Each key with a 32-bit word folded in: ``jax.random.fold_in(key, word)``.

        Args:
            words: one for all keys, or of uint32 ``[rows]``.
        """
        words = _word(words) if isinstance(words, int) else words
        if len(words) > 1 and (words == words[0]).all():
            words = words[:1]
        rows = max(len(words), len(self.high))
        high, low = np.empty(rows, np.uint32), np.empty(rows, np.uint32)
        for start in range(0, rows, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows))
            high[block] = 0
            low[block] = words if len(words) == 1 else words[block]
            key = (self.high, self.low) if self.single else (self.high[block], self.low[block])
            _encrypt(*key, high[block], low[block])
        return Keys(high, low)

    def bits(self, rows: int) -> np.ndarray:
        """The keys of ``rows`` rows as 64 random bits each, uint64 ``[rows]``: the first word above the second."""
        high, low = self._repeated(rows)
        return (high.astype(np.uint64) << np.uint64(32)) | low

    def pairs(self, rows: int) -> np.ndarray:
        """The keys of ``rows`` rows as JAX stores them, uint32 ``[rows, 2]``."""
        return np.stack(self._repeated(rows), axis=1)

    def _repeated(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        return np.broadcast_to(self.high, (rows,)), np.broadcast_to(self.low, (rows,))


def _word(value: int) -> np.ndarray:
    return np.array([value], np.uint32)


def _encrypt(key_high: np.ndarray, key_low: np.ndarray, high: np.ndarray, low: np.ndarray) -> None:
    """Encrypt pairs of words in place, each ``[rows]``, with one key or a key for every row."""
    keys = (key_high, key_low, key_high ^ key_low ^ np.uint32(_PARITY))
    turned = np.empty_like(high)
    high += keys[0]
    low += keys[1]
    for group in range(_ROUNDS_BETWEEN_KEYS):
        for rotation in _ROTATIONS[group % 2]:
            high += low
            np.left_shift(low, np.uint32(rotation), out=turned)
            low >>= np.uint32(32 - rotation)
            low |= turned
            low ^= high
        high += keys[(group + 1) % 3]
        low += keys[(group + 2) % 3]
        low += np.uint32(group + 1)
