"""Datasets of like length, which are computed together, and what pads them to one length."""

from collections.abc import Iterator

import numpy as np

from jaxbatch.least_squares.statistics.slices import BLOCK_ROWS


def alike(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Which have at least one and at most ``BLOCK_ROWS`` rows, by length: those of one array differ by an eighth."""
    short = np.flatnonzero((lengths > 0) & (lengths <= BLOCK_ROWS))
    step = 1 << np.maximum(np.frexp(lengths[short])[1] - 4, 0)
    padded = -(-lengths[short] // step) * step
    order = np.argsort(padded, kind="stable")
    return iter(np.split(short[order], np.flatnonzero(np.diff(padded[order])) + 1) if len(short) else [])


def padded(starts: np.ndarray, lengths: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of datasets padded to one length by repeating their last, and which are padding: [D, length]."""
    within = np.arange(length)
    return starts[:, None] + np.minimum(within, lengths[:, None] - 1), within >= lengths[:, None]
