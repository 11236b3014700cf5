"""The design matrix of one dataset: masked, with its intercept, its columns scaled to unit norm."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Design(NamedTuple):
    """A padded design; observations and terms beyond the true ones are zero.

    ``scaled`` is ``matrix / scale``; a column of zeros has the scale 1.
    """

    matrix: Float[Array, "n p"]
    scaled: Float[Array, "n p"]
    scale: Float[Array, " p"]
    target: Float[Array, " n"]
    observed: Bool[Array, " n"]
    terms: Bool[Array, " p"]
    penalised: Bool[Array, " p"]
    """The terms that ridge shrinks: all but the intercept."""

    @property
    def n(self) -> Int[Array, ""]:
        """The number of observations."""
        return self.observed.sum()

    @property
    def p(self) -> Int[Array, ""]:
        """The number of terms, the intercept included."""
        return self.terms.sum()


def design(
    X: Float[Array, "n k"],
    y: Float[Array, " n"],
    rows: Int[Array, ""],
    columns: Int[Array, ""],
    *,
    intercept: bool,
) -> Design:
    """The design of ``rows`` observations in ``columns`` features, of which ``X`` and ``y`` are padded copies."""
    observed = jnp.arange(X.shape[0]) < rows
    features = jnp.arange(X.shape[1]) < columns
    matrix = jnp.where(observed[:, None] & features, X, 0.0)
    terms = penalised = features
    if intercept:
        matrix = jnp.concatenate([observed[:, None].astype(X.dtype), matrix], axis=1)
        terms = jnp.concatenate([jnp.ones(1, bool), features])
        penalised = jnp.concatenate([jnp.zeros(1, bool), features])
    largest = jnp.max(jnp.abs(matrix), axis=0)
    unit = jnp.where(largest > 0, largest, 1.0)
    norm = unit * jnp.sqrt(jnp.sum((matrix / unit) ** 2, axis=0))
    scale = jnp.where(norm > 0, norm, 1.0)
    return Design(matrix, matrix / scale, scale, jnp.where(observed, y, 0.0), observed, terms, penalised)
