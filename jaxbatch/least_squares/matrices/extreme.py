"""The largest eigenvalue of many small symmetric matrices at once, by NumPy."""

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import iterated, total

_STEPS = 200
"""The most steps of Laguerre's method. It takes four to six; some thirty where two eigenvalues all but coincide."""


def largest_eigenvalue(A: np.ndarray) -> np.ndarray:
    """The largest eigenvalue of symmetric positive semidefinite matrices [p, p, B], to some p ulps.

    A tridiagonal matrix of the same eigenvalues is found by Householder's reflections. From Gershgorin's bound above
    them all, Laguerre's method then descends to the largest root of its characteristic polynomial, without passing it
    (Wilkinson, *The Algebraic Eigenvalue Problem*, ch. 7, §§52–54). For a matrix that is not finite the number means
    nothing.
    """
    diagonal, squares = _tridiagonal(A)
    beside = np.sqrt(squares)
    reach = diagonal.copy()
    reach[:-1] += beside
    reach[1:] += beside
    bound = np.max(reach, axis=0)
    return iterated(np, _laguerre_step, _descends, (diagonal, squares), (bound, bound), most=_STEPS)[0]


def _descends(state: tuple[np.ndarray, ...]) -> np.ndarray:
    """Whether the last step was longer than the rounding of its end."""
    x, step = state
    return step > 2.0**-52 * x


def _laguerre_step(constants: tuple[np.ndarray, ...], state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """One step from x down, and its length; 0 where rounding takes x for no bound any more.

    With the pivots q of x − T and their derivatives, Σ 1/(x − λ) is Σ q'/q and Σ 1/(x − λ)² is Σ (q'/q)² − q''/q.
    """
    diagonal, squares = constants
    x, _ = state
    p = len(diagonal)
    pivot = x - diagonal[0]
    least = pivot
    first = 1.0 / pivot  # q'/q
    second = np.zeros_like(x)  # q''/q
    sums = first.copy()
    sums_of_squares = first * first
    for i in range(1, p):
        ratio = squares[i - 1] / pivot
        pivot = x - diagonal[i]
        pivot -= ratio
        least = np.minimum(least, pivot)
        square = first * first
        square += square
        second -= square
        second *= ratio
        second /= pivot
        first *= ratio
        first += 1.0
        first /= pivot
        sums += first
        sums_of_squares += first * first
        sums_of_squares -= second
    spread = p * sums_of_squares - sums * sums
    step = p / (sums + np.sqrt((p - 1.0) * np.maximum(spread, 0.0)))
    step = np.where(least > 0, step, 0.0)
    return x - step, step


def _tridiagonal(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal [p, B] and the squares of the elements beside it [p − 1, B] of tridiagonal matrices similar to A.

    Golub and Van Loan, *Matrix Computations*, 4th ed., §8.3.1.
    """
    A, p = A.copy(), A.shape[0]
    diagonal, squares = np.empty(A.shape[1:]), np.empty((p - 1, *A.shape[2:]))
    for j in range(p - 1):
        diagonal[j] = A[j, j]
        x = A[j + 1 :, j].copy()
        squares[j] = total(x * x)
        if j == p - 2:
            break
        rest = A[j + 1 :, j + 1 :]
        x[0] += np.copysign(np.sqrt(squares[j]), x[0])
        norm = total(x * x)
        beta = 2.0 / np.maximum(norm, 2.0**-1000)
        image = total(rest * x[:, None])
        image *= beta
        image -= x * (0.5 * beta * total(image * x))
        outer = x[:, None] * image
        rest -= outer
        rest -= outer.swapaxes(0, 1)
    diagonal[p - 1] = A[p - 1, p - 1]
    return diagonal, squares
