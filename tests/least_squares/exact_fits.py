"""Fits and statistics by rational arithmetic, without any rounding."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jaxbatch import least_squares
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble


def gram(Z: np.ndarray, weights: np.ndarray) -> list[list[Fraction]]:
    """Z W Z' for the columns Z [k, n] of [1 X y]."""
    columns = [[Fraction(x) for x in row] for row in Z.tolist()]
    w = [Fraction(x) for x in weights.tolist()]
    weighted = [[x * each for x, each in zip(column, w, strict=True)] for column in columns]
    found = [[Fraction(0)] * len(Z) for _ in Z]
    for i, column in enumerate(weighted):
        for j in range(i, len(Z)):
            found[i][j] = found[j][i] = sum((a * b for a, b in zip(column, columns[j], strict=True)), Fraction(0))
    return found


def solved(G: list[list[Fraction]]) -> list[Fraction]:
    """The coefficients from the Gram matrix of [1 X y]."""
    p = len(G) - 1
    rows = [list(row) for row in G[:p]]
    for j in range(p):
        for i in range(j + 1, p):
            factor = rows[i][j] / rows[j][j]
            rows[i] = [a - factor * b if c > j else a for c, (a, b) in enumerate(zip(rows[i], rows[j], strict=True))]
    b = [Fraction(0)] * p
    for j in reversed(range(p)):
        b[j] = (rows[j][p] - sum((rows[j][c] * b[c] for c in range(j + 1, p)), Fraction(0))) / rows[j][j]
    return b


def statistics(problems: Sequence[tuple[np.ndarray, np.ndarray]]) -> least_squares.Statistic:
    """The statistics of problems (Z [k, n], weights [n]), rounded once to 106 bits, the datasets on the last axis.

    Fewer terms than the most of a problem are padded with columns of zeros before y.
    """
    k = max(len(Z) for Z, _ in problems)
    high, low = np.zeros((2, k, k, len(problems)))
    exponents = np.full((k, len(problems)), -least_squares.LARGEST_EXPONENT, np.int32)
    for d, (Z, w) in enumerate(problems):
        root = (math.frexp(max(w))[1] + 1) // 2
        places = [*range(len(Z) - 1), k - 1]
        for place, column in zip(places, Z, strict=True):
            exponents[place, d] = math.frexp(np.abs(column).max())[1] + root
        for i, row in zip(places, gram(Z, w), strict=True):
            for j, value in zip(places, row, strict=True):
                scaled = value / Fraction(2) ** int(exponents[i, d] + exponents[j, d])
                high[i, j, d] = float(scaled)
                low[i, j, d] = float(scaled - Fraction(high[i, j, d]))
    return least_squares.Statistic(
        DoubleDouble(high, low),
        exponents,
        n=np.array([len(w) for _, w in problems]),
        weight=np.array([w.sum() for _, w in problems]),
        y_min=np.array([Z[-1].min() for Z, _ in problems]),
        y_max=np.array([Z[-1].max() for Z, _ in problems]),
        shift=np.zeros(len(problems)),
    )


def digits(found: Sequence[float] | Sequence[Fraction], exact: Sequence[Fraction]) -> float:
    """The correct digits of the worst of some numbers, at most 15.95."""
    worst = max(abs(Fraction(a) - b) / abs(b) for a, b in zip(found, exact, strict=True))
    return min(15.95, -math.log10(worst)) if worst else 15.95


def ceiling(Z: np.ndarray, weights: np.ndarray, exact: Sequence[Fraction], rng: np.random.Generator) -> float:
    """The digits kept when every stored number moves by half an ulp up or down, the least of 8 draws."""

    def moved(x: np.ndarray) -> list[Fraction]:
        return [
            Fraction(value) + Fraction(math.ulp(value)) / 2 * int(sign)
            for value, sign in zip(x.tolist(), rng.choice([-1, 1], len(x)), strict=True)
        ]

    found = []
    for _ in range(8):
        columns = [[Fraction(x) for x in Z[0].tolist()], *map(moved, Z[1:])]
        w = moved(weights)
        size = range(len(Z))
        G = [[sum(map(_product, w, columns[i], columns[j]), Fraction(0)) for j in size] for i in size]
        found.append(digits(solved(G), exact))
    return min(found)


def _product(a: Fraction, b: Fraction, c: Fraction) -> Fraction:
    return a * b * c


def hard_problem(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Columns of [1 X y], weights and the condition number κ of a problem with 10² ≤ κ ≤ 10¹².

    Features have offsets of 10⁰ to 10⁹ times their spread, or nearly depend on one another; their units go from 10⁻¹⁵⁰
    to 10¹⁵⁰, the weights over 24 decades.
    """
    while True:
        p, n = int(rng.integers(1, 4)), int(rng.integers(8, 16))
        X = rng.normal(size=(p, n))
        for i in range(1, p):
            if rng.random() < 0.5:
                X[i] = X[i - 1] + 10.0 ** rng.uniform(-10, 0) * X[i]
        X += 10.0 ** rng.uniform(0, 9, (p, 1))
        y = rng.normal(size=p) @ X + 10.0 ** rng.uniform(-6, 3) * rng.normal(size=n)
        w = 10.0 ** rng.uniform(-12, 12, n) if rng.random() < 0.7 else np.ones(n)
        A = np.sqrt(w) * np.vstack([np.ones(n), X])
        singular = np.linalg.svd(A / np.linalg.norm(A, axis=1)[:, None], compute_uv=False)
        if 1e2 <= singular[0] / singular[-1] <= 1e12:
            units = 10.0 ** rng.uniform(-150, 150, (p, 1))
            return np.vstack([np.ones(n), X * units, y * 10.0 ** rng.uniform(-150, 150)]), w, singular[0] / singular[-1]
