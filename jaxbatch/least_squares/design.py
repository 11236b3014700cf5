"""The design matrix of one dataset: masked, weighted, with its intercept, its columns scaled to unit norm."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Design(NamedTuple):
    """A padded design and its target; rows and columns of padding are zero.

    Attributes:
        matrix: A, each row multiplied by the root of its weight.
        scaled: A with each column divided by its ``scale``.
        scale: the 2-norms of the columns of A; 1 for a column of zeros.
        target: y, each element multiplied by the root of its weight.
        terms: which columns are used.
        penalised: the terms that ridge shrinks: all but the intercept.
    """

    matrix: Float[Array, "n p"]
    scaled: Float[Array, "n p"]
    scale: Float[Array, " p"]
    target: Float[Array, " n"]
    terms: Bool[Array, " p"]
    penalised: Bool[Array, " p"]

    @property
    def p(self) -> Int[Array, ""]:
        """The number of terms, the intercept included."""
        return self.terms.sum()


def columns(
    X: Float[Array, "p n"], y: Float[Array, " n"], observed: Bool[Array, " n"], *, intercept: bool
) -> Float[Array, "k n"]:
    """The columns of [1 X y] as rows of one array, zero where nothing was observed; without ``intercept`` of [X y]."""
    ones = [jnp.ones((1, len(y)), X.dtype)] if intercept else []
    return jnp.where(observed, jnp.concatenate([*ones, X, y[None]]), 0.0)


def terms(features: Bool[Array, " k"], intercept: bool) -> tuple[Bool[Array, " p"], Bool[Array, " p"]]:
    """Which terms of the padded design are used, and which of them ridge shrinks: all but the intercept.

    ``features`` marks the used ones of the padded features; the intercept, if there is one, comes first.
    """
    if not intercept:
        return features, features
    return jnp.concatenate([jnp.ones(1, bool), features]), jnp.concatenate([jnp.zeros(1, bool), features])


def design(
    Z: Float[Array, "k n"],
    terms: Bool[Array, " p"],
    penalised: Bool[Array, " p"],
    weights: Float[Array, " n"] | None = None,
) -> Design:
    """The design of the columns [1 X y] of :func:`columns`; each row multiplied by the root of its weight."""
    Z = Z if weights is None else jnp.sqrt(weights) * Z
    matrix = Z[:-1].T
    largest = jnp.max(jnp.abs(matrix), axis=0)
    unit = jnp.where(largest > 0, largest, 1.0)
    norm = unit * jnp.sqrt(jnp.sum((matrix / unit) ** 2, axis=0))
    scale = jnp.where(norm > 0, norm, 1.0)
    return Design(matrix, matrix / scale, scale, Z[-1], terms, penalised)
