"""Least squares, one fit per dataset: a dataset is a row, or a group of rows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxbatch import least_squares
from jaxbatch.columns import Column
from jaxbatch.errors import InputError, JobError
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.builtin.regression.host import HostFit, HostStatistic
from jaxbatch.kernels.builtin.regression.options import WEIGHTS, Options, outputs

BY_NUMPY = ("cpu",)
"""The platforms on which NumPy computes, without a compiler; on the others compiled programs do."""


@dataclass(frozen=True)
class Regression(Kernel):
    """Least squares, one fit per dataset.

    Nested layout, one dataset a row. Inputs: ``X``, a list of rows, whose number of columns may differ from dataset to
    dataset, or instead one list column per name in ``features``; and ``y``, a list as long.

    Long layout, one observation a row. Inputs: number columns, those in ``features`` and ``target``; and the columns in
    ``group_by``, integers, booleans, texts, dates or times, which come back with one row a group, sorted within each
    part; rows without a key are a group too.

    Outputs: the lists ``coefficients``, ``standard_errors``, ``t_values`` and ``p_values``, intercept first; ``n``,
    ``rank``, ``condition``, ``loss`` (mean squared residual), ``r_squared``, ``residual_sd``, ``method`` (the one
    used), ``steps`` and ``converged``.
    """

    needs_x64 = True
    uses_jax = False

    features: list[str] | None = None
    """The columns that are the features: of lists, instead of the one column X; in the long layout of numbers."""
    target: str | None = None
    """Long layout, one observation a row: the column of y."""
    group_by: list[str] | None = None
    """Long layout: the columns whose values name a dataset; without them all rows are one."""
    intercept: bool = True
    """Whether a constant term is fitted; it is not penalised."""
    ridge: float = 0.0
    """λ of Σr² + λΣb²."""
    method: Literal["auto", "cholesky", "qr", "svd", "gradient_descent"] = "auto"
    """How to fit: auto, by the Gram matrix in twice the precision; cholesky, by the plain one; qr or svd, of whole
    datasets; gradient_descent."""
    weights: str | None = None
    """The column with the weights of the observations; by default each counts once. Those of weight 0 are left out."""
    nulls: Literal["fail", "drop"] = "fail"
    """fail: a null makes the dataset null_input; drop: its observation is left out."""
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
    """This many steps of standing still in a row end the descent."""

    def bind(self, context: BindContext) -> Kernel:
        """See :meth:`Kernel.bind`."""
        for name, low in (
            ("ridge", 0.0),
            ("max_steps", 1),
            ("patience", 1),
            ("tolerance", 0.0),
            ("reset", 0.0),
        ):
            if not getattr(self, name) >= low:
                raise JobError(f"[params] {name} is {getattr(self, name)}.", f"Use at least {low}.")
        if self.learning_rate != "auto" and not self.learning_rate > 0:
            raise JobError(f"[params] learning_rate is {self.learning_rate}.", 'Use a positive number or "auto".')
        if not self._is_long:
            self._check_nested(context)
        grouping = self._grouping() if self._is_long else None
        inputs = self._datasets() if grouping is None else grouping.columns
        context.require_columns(*(column.name for column in inputs))
        for column in inputs:
            context.require_input(column)
        stored = [context.types[column.name].eps for column in inputs if column.name in context.types]
        eps = max(float(np.finfo(context.precision).eps), *stored)
        options = Options(
            intercept=self.intercept,
            ridge=self.ridge,
            direct=_direct(self.method, context.platform),
            eps=eps,
            precision=context.precision,
            descent=self._stop() if self.method == "gradient_descent" else None,
            learning_rate=self.learning_rate,
            initial=tuple(self.initial) if self.initial is not None else None,
        )
        named = (*(["intercept"] if self.intercept else []), *self.features) if self.features else None
        if grouping is None:
            given: dict[str, Any] = {
                "inputs": inputs,
                "features": tuple(self.features) if self.features else None,
                "weights": self.weights,
                "drop_nulls": "n" if self.nulls == "drop" else None,
            }
        else:
            self._check_long(options)
            given = self._of_groups(grouping)
        return _stages(outputs(named), options, context.platform, given)

    def _check_long(self, options: Options) -> None:
        """Refuse methods that need whole datasets.

        Raises:
            JobError: the method is such a one.
        """
        if self.method == "auto" and options.direct == "qr":
            raise JobError(
                '[params] method: on this device "auto" means QR, because its compiler does not keep rounding '
                "errors separate; QR needs whole datasets, which the long layout does not have.",
                'Use "cholesky" or another device, or nest each group\'s rows in one list.',
            )
        if options.direct in ("qr", "svd"):
            raise JobError(
                f'[params] method: "{options.direct}" needs whole datasets, which the long layout does not have.',
                'Use "auto", which is as exact, or "cholesky"; or nest each group\'s rows in one list.',
            )

    def _of_groups(self, grouping: Grouping) -> dict[str, Any]:
        """What a statistic's kernel is given in the long layout: a group's observations are its lists."""
        features = tuple(f"x{number}" for number in range(len(self.features or ())))
        named = (*features, "y", *([] if self.weights is None else [WEIGHTS]))
        return {
            "inputs": tuple(Column(name, shape=("n",)) for name in named),
            "features": features,
            "weights": WEIGHTS if self.weights else None,
            "grouping": grouping,
        }

    @property
    def _is_long(self) -> bool:
        return self.target is not None or self.group_by is not None

    def _check_nested(self, context: BindContext) -> None:
        """Refuse an input with one observation a row, with the parameters that it needs.

        Raises:
            InputError: the columns are not those of one dataset a row.
        """
        remedy = (
            'For one observation per row, set target = "…", features = ["…"] and, for several fits, group_by = ["…"].'
        )
        if self.features is None and "X" not in context.types and "X" not in context.constants:
            raise InputError("The input has no column 'X', a list of rows, and no features are named.", remedy)
        flat = [name for name in self.features or [] if name in context.types and context.types[name].depth == 0]
        if flat and self.target is None:
            kind = context.types[flat[0]].name
            raise InputError(f"The feature '{flat[0]}' is {kind}, one number a row, and no target is named.", remedy)

    def _datasets(self) -> tuple[Column, ...]:
        """The columns of the nested layout, one dataset a row."""
        if self.features is not None:
            self._check_features()
            inputs = (*(Column(name, shape=("n",)) for name in self.features), Column("y", shape=("n",)))
        else:
            inputs = (Column("X", shape=("n", "p")), Column("y", shape=("n",)))
        named = [*(self.features or []), *([self.weights] if self.weights else [])]
        for name in named:
            if name in ("X", "y", "n", "p") or named.count(name) > 1:
                raise JobError(
                    f"[params] '{name}' cannot be the name of a list of features or weights here, or is named twice.",
                    f'Give it another name in the job: [input] columns = {{ {name}_column = "{name}" }}.',
                )
        return inputs if self.weights is None else (*inputs, Column(self.weights, shape=("n",)))

    def _grouping(self) -> Grouping:
        """The columns of the long layout, one observation a row."""
        if self.target is None:
            raise JobError("[params] group_by needs a target.", 'Name the column of y: target = "…".')
        self._check_features()
        by = self.group_by or []
        _check_once("group_by", by)
        columns = [*(self.features or []), self.target, *([self.weights] if self.weights else [])]
        _check_once("features, target and weights", columns)
        return Grouping(tuple(by), tuple(Column(name) for name in columns), self.nulls == "drop")

    def _check_features(self) -> None:
        if not self.features:
            raise JobError("[params] features names no column.", 'Name those of X: features = ["…"].')
        _check_once("features", self.features)

    def _stop(self) -> least_squares.Stop:
        return least_squares.Stop(self.tolerance, self.reset, self.patience, self.max_steps)


def _check_once(what: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise JobError(f"[params] {what}: the column '{twice}' is named twice.", "Name each column once.")


def _direct(method: str, platform: str) -> Literal["auto", "cholesky", "qr", "svd"]:
    """The direct method. "auto" becomes "qr" if error-free transformations do not hold on this device."""
    if method == "cholesky" or method == "qr" or method == "svd":
        return method
    return "auto" if platform in BY_NUMPY or least_squares.error_free_transforms_hold() else "qr"


def _stages(written: tuple[Column, ...], options: Options, platform: str, given: dict[str, Any]) -> Kernel:
    """The kernels of a regression: by NumPy on CPUs, by compiled programs on accelerators and for whole datasets."""
    whole = options.direct in ("qr", "svd")
    if platform in BY_NUMPY and not whole:
        return HostStatistic(**given, options=options, second_stage=HostFit(outputs=written, options=options))
    from jaxbatch.kernels.builtin.regression import fit, statistic  # which import JAX

    if whole:
        return fit.DatasetFit(**given, options=options, outputs=written)
    return statistic.DatasetStatistic(
        **given, options=options, second_stage=fit.FitKernel(outputs=written, options=options)
    )
