"""The design matrix of one dataset: masked, weighted, with its intercept, its columns scaled to unit norm."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace


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
    xp = namespace(X)
    ones = [xp.ones((1, len(y)), X.dtype)] if intercept else []
    return xp.where(observed, xp.concatenate([*ones, X, y[None]]), 0.0)


def terms(features: Bool[Array, "k ..."], intercept: bool) -> tuple[Bool[Array, "p ..."], Bool[Array, "p ..."]]:
    """Which terms of the padded design are used, and which of them ridge shrinks: all but the intercept.

    ``features`` marks the used ones of the padded features; the intercept, if there is one, comes first.
    """
    if not intercept:
        return features, features
    xp = namespace(features)
    first = xp.ones((1, *features.shape[1:]), bool)
    return xp.concatenate([first, features]), xp.concatenate([~first, features])


def design(
    Z: Float[Array, "k n"],
    terms: Bool[Array, " p"],
    penalised: Bool[Array, " p"],
    weights: Float[Array, " n"] | None = None,
) -> Design:
    """The design of the columns [1 X y] of :func:`columns`; each row multiplied by the root of its weight."""
    xp = namespace(Z)
    Z = Z if weights is None else xp.sqrt(weights) * Z
    matrix = Z[:-1].T
    largest = xp.max(xp.abs(matrix), axis=0)
    unit = xp.where(largest > 0, largest, 1.0)
    norm = unit * xp.sqrt(xp.sum((matrix / unit) ** 2, axis=0))
    scale = xp.where(norm > 0, norm, 1.0)
    return Design(matrix, matrix / scale, scale, Z[-1], terms, penalised)
