"""Least squares, one fit per dataset, one dataset per row."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxbatch import fitting, least_squares
from jaxbatch.columns import Column
from jaxbatch.errors import JobError
from jaxbatch.kernel import Kernel, Source


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
    """How to fit: auto is by the Gram matrix in twice the precision, cholesky by the plain one."""
    weights: str | None = None
    """The column with the weights of the observations; by default each counts once. Those of weight 0 are left out."""
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
        if self.weights is not None:
            inputs = (*inputs, Column(self.weights, shape=("n",)))
        for column in inputs:
            source.require_input(column)
        stored = [source.types[column.name].eps for column in inputs if column.name in source.types]
        eps = max(float(np.finfo(source.precision).eps), *stored)
        options = fitting.Options(
            intercept=self.intercept,
            ridge=self.ridge,
            direct=_direct(self.method),
            eps=eps,
            precision=source.precision,
            descent=self._stop() if self.method == "gradient_descent" else None,
            learning_rate=self.learning_rate,
            initial=tuple(self.initial) if self.initial is not None else None,
        )
        named = (*(["intercept"] if self.intercept else []), *self.features) if self.features else None
        results = fitting.outputs(named)
        given: dict[str, Any] = {
            "inputs": inputs,
            "options": options,
            "features": tuple(self.features) if self.features else None,
            "weights": self.weights,
            "drop_nulls": "n" if self.nulls == "drop" else None,
        }
        if options.direct in ("qr", "svd"):
            return fitting.DatasetFit(**given, outputs=results)
        return fitting.DatasetStatistic(**given, then=fitting.Fit(outputs=results, options=options))

    def _stop(self) -> least_squares.Stop:
        return least_squares.Stop(self.tolerance, self.reset, self.patience, self.max_steps)


def _direct(method: str) -> Literal["auto", "cholesky", "qr", "svd"]:
    """The direct method: where rounding errors cannot be caught on this device, QR is the best there is."""
    if method == "cholesky" or method == "qr" or method == "svd":
        return method
    return "auto" if least_squares.survive() else "qr"
