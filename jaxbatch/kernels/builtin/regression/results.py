"""The columns of a fit, from its solution: of NumPy arrays, or of a traced dataset, with further axes for datasets."""

from typing import Any

from jaxbatch import least_squares
from jaxbatch.columns import Status
from jaxbatch.kernels.builtin.regression.options import METHODS, Options
from jaxbatch.least_squares.arithmetic.array_library import namespace


def results(
    options: Options,
    solution: least_squares.Solution,
    moments: least_squares.ResponseMoments,
    terms: Any,
    steps: Any = 0,
    converged: Any = True,
) -> dict[str, Any]:
    """The columns of :func:`~.options.outputs` by name, with ``"terms"`` and ``"status"``.

    Args:
        options: what the fit depends on.
        solution: of the fit.
        moments: of y.
        terms: which of the padded terms are used, booleans [p, …].
        steps: those of the descent, […].
        converged: whether it has converged, […].
    """
    xp = namespace(solution.rank)
    p = terms.sum(axis=0)
    deficient = (solution.rank < p) & (options.ridge == 0)
    status = xp.where(deficient, int(Status.rank_deficient), int(Status.ok))
    status = xp.maximum(status, xp.where(converged, int(Status.ok), int(Status.not_converged)))
    sampled = xp.logical_and(converged, options.ridge == 0)
    used: Any = METHODS.index(options.method)
    if options.method == "qr":
        used = xp.where(deficient, METHODS.index("svd"), used)
    return {
        "coefficients": solution.coefficients,
        **least_squares.infer(solution, moments, p, sampled=sampled)._asdict(),
        "n": moments.n,
        "rank": solution.rank,
        "condition": solution.condition,
        "method": used,
        "steps": steps,
        "converged": converged,
        "terms": p,
        "status": xp.where(moments.n == 0, int(Status.invalid_input), status),
    }


def descended(
    options: Options,
    statistic: least_squares.Statistic,
    solution: least_squares.Solution,
    terms: Any,
    penalised: Any,
) -> dict[str, Any]:
    """The columns of a fit by gradient descent; ``solution`` is the direct one, which gives rank and condition.

    Args:
        options: what the fit depends on, with ``descent``.
        statistic: of the dataset, without a shift.
        solution: the direct one.
        terms: which of the padded terms are used, booleans [p, …].
        penalised: the terms that ridge shrinks, [p, …].
    """
    assert options.descent is not None
    xp = namespace(solution.rank)
    given = options.initial or ()
    first = [*given, *[0.0] * len(terms)][: len(terms)]
    initial = xp.broadcast_to(xp.reshape(xp.asarray(first, "float64"), (-1, *[1] * (terms.ndim - 1))), terms.shape)
    descent = least_squares.descend(
        statistic,
        terms,
        penalised,
        initial,
        learning_rate=options.learning_rate,
        ridge=options.ridge,
        stop=options.descent,
        dtype=xp.dtype(options.precision),
    )
    solution = least_squares.with_coefficients(solution, statistic, descent.coefficients)
    moments = least_squares.response_moments(statistic, intercept=options.intercept)
    found = results(options, solution, moments, terms, descent.steps, descent.converged)
    if options.initial is not None:
        fitting = terms.sum(axis=0) == len(options.initial)
        found["status"] = xp.where(fitting, found["status"], int(Status.invalid_input))
    return found
