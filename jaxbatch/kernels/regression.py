"""Least squares, one fit per dataset, one dataset per row."""

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jaxbatch import least_squares
from jaxbatch.columns import Column, Status
from jaxbatch.errors import JobError
from jaxbatch.kernel import Kernel, Source

METHODS = ("cholesky", "qr", "svd", "gradient_descent")


@dataclass(frozen=True)
class Regression(Kernel):
    """Least squares, one fit per dataset, one dataset per row.

    Inputs: ``X``, a list of rows, whose number of columns may differ from dataset to dataset, or instead one
    list column per name in ``features``; and ``y``, a list as long.

    Outputs: the lists ``coefficients``, ``standard_errors``, ``t_values`` and ``p_values``, intercept first; ``n``,
    ``rank``, ``condition``, ``loss`` (mean squared residual), ``r_squared``, ``residual_sd``, ``method`` (the one
    used), ``steps`` and ``converged``.
    """

    wide = True

    features: list[str] | None = None
    """List columns that are the features, instead of the one column X."""
    intercept: bool = True
    """Whether a constant term is fitted; it is not penalised."""
    ridge: float = 0.0
    """λ of Σr² + λΣb²."""
    method: Literal["auto", "cholesky", "qr", "svd", "gradient_descent"] = "auto"
    """How to fit: auto is QR, with the SVD of its factor where the rank is deficient."""
    nulls: Literal["fail", "drop"] = "fail"
    """Whether a null makes the dataset null_input, or its observation is left out."""
    learning_rate: float | Literal["auto"] = "auto"
    """Of gradient descent; auto is the reciprocal of the largest curvature."""
    max_steps: int = 100_000
    """Of gradient descent; a fit that reaches it is not_converged."""
    initial: list[float] | None = None
    """Where gradient descent starts: one number per term, intercept first; by default 0."""
    tolerance: float = 1e-12
    """A step that moves the coefficients by less (2-norm) counts as standing still."""
    reset: float = 1e-5
    """A step that moves them by more than this starts the count anew."""
    patience: int = 10
    """So many steps of standing still end the descent."""

    def bind(self, source: Source) -> Kernel:
        """See :meth:`Kernel.bind`."""
        for name, low in (
            ("ridge", 0.0),
            ("max_steps", 1),
            ("patience", 1),
            ("tolerance", 0.0),
            ("reset", 0.0),
        ):
            if not getattr(self, name) >= low:
                raise JobError(f"[params] {name} is {getattr(self, name)}.", f"Give at least {low}.")
        if self.learning_rate != "auto" and not self.learning_rate > 0:
            raise JobError(f"[params] learning_rate is {self.learning_rate}.", 'Give a positive number or "auto".')
        if self.features is not None:
            if not self.features or len(set(self.features)) < len(self.features):
                raise JobError("[params] features is empty or names a column twice.", "Name each list column once.")
            inputs = (*(Column(name, shape=("n",)) for name in self.features), Column("y", shape=("n",)))
        else:
            inputs = (Column("X", shape=("n", "p")), Column("y", shape=("n",)))
        for column in inputs:
            source.require_input(column)
        stored = [source.types[column.name].eps for column in inputs if column.name in source.types]
        eps = max(float(np.finfo(source.precision).eps), *stored)
        return _BoundRegression(
            inputs=inputs,
            outputs=_outputs(self.features, intercept=self.intercept),
            drop_nulls="n" if self.nulls == "drop" else None,
            params=self,
            eps=eps,
            precision=source.precision,
        )


def _outputs(features: list[str] | None, *, intercept: bool) -> tuple[Column, ...]:
    metadata = {"terms": ",".join([*(["intercept"] if intercept else []), *features])} if features else {}

    def per_term(name: str, *, tested: bool = False) -> Column:
        return Column(name, shape=("terms",), tested=tested, metadata=metadata)

    return (
        per_term("coefficients", tested=True),
        per_term("standard_errors"),
        per_term("t_values"),
        per_term("p_values"),
        Column("n", "int64"),
        Column("rank", "int64"),
        Column("condition", tested=False),
        Column("loss"),
        Column("r_squared", tested=False),
        Column("residual_sd", tested=False),
        Column("method", "string", choices=METHODS),
        Column("steps", "int64"),
        Column("converged", "bool"),
    )


@dataclass(frozen=True, kw_only=True)
class _BoundRegression(Kernel):
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    drop_nulls: str | None
    params: Regression
    eps: float
    precision: str
    wide = True

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """Powers of two for observations; for features every size to 8, then four to the octave."""
        if dimension == "n":
            return super().size(dimension, lengths)
        step = 1 << np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 2, 0)
        return np.maximum(1, -(-lengths // step) * step)

    def row(self, *, y: Any, n: Any, p: Any = None, X: Any = None, **features: Any) -> dict[str, Any]:
        params = self.params
        if params.features is not None:
            X = jnp.stack([features[name] for name in params.features], axis=1)
            p = jnp.asarray(len(params.features))
        problem = least_squares.design(X.astype("float64"), y.astype("float64"), n, p, intercept=params.intercept)
        method = params.method if params.method in ("cholesky", "svd") else "qr"
        fit = least_squares.solve(problem, method=method, ridge=params.ridge, eps=self.eps)
        deficient = fit.rank < problem.p
        status = jnp.where(deficient & (params.ridge == 0), Status.rank_deficient, Status.ok)
        valid = n > 0
        coefficients, steps, converged = fit.coefficients, 0, True
        if params.method == "gradient_descent":
            terms = problem.terms.shape[0]
            initial = np.zeros(terms)
            initial[: len(params.initial or [])] = (params.initial or [])[:terms]
            valid &= (problem.p == len(params.initial)) if params.initial is not None else True
            coefficients, steps, converged = least_squares.descend(
                problem,
                jnp.asarray(initial, "float64"),
                learning_rate=params.learning_rate,
                ridge=params.ridge,
                stop=least_squares.Stop(params.tolerance, params.reset, params.patience, params.max_steps),
                dtype=jnp.dtype(self.precision),
            )
            status = jnp.maximum(status, jnp.where(converged, Status.ok, Status.not_converged))
            used = METHODS.index("gradient_descent")
        else:
            least = METHODS.index("svd")
            used = jnp.where(deficient & (params.ridge == 0), least, METHODS.index(method))
        inference = least_squares.infer(
            problem,
            coefficients,
            fit.rank,
            fit.root,
            intercept=params.intercept,
            sampled=jnp.logical_and(converged, params.ridge == 0),
        )
        return {
            "coefficients": coefficients,
            **inference._asdict(),
            "n": n,
            "rank": fit.rank,
            "condition": fit.condition,
            "method": used,
            "steps": steps,
            "converged": converged,
            "terms": problem.p,
            "status": jnp.where(valid, status, Status.invalid_input),
        }
