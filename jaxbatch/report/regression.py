"""Draws fits: coefficients with their intervals, errors against condition, steps of the descent, and residuals of the
worst fits."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from jaxbatch.report import residuals
from jaxbatch.report.charts import SERIES, Picture, histogram, legend, render
from jaxbatch.report.run_records import RunRecords
from jaxbatch.report.sample import Sample

MAX_TERMS = 14
"""The number of coefficients in the picture."""

WORST = 3
"""The number of fits with a plot of their residuals."""


def pictures(records: RunRecords) -> list[Picture]:
    """Every picture that the output has data for; residuals need the input too."""
    if not len(records.sample.row):
        return []
    known = [row is not None for row in records.sample.table.column(records.column_of("coefficients")).to_pylist()]
    sample = records.sample.select(np.array(known, bool))
    if not len(sample.row):
        return []
    found = [_coefficients(records, sample), *_condition(records, sample)]
    if records.plan.job["params"].get("method") == "gradient_descent":
        found.append(_descent(records, sample))
    return [*found, *_residuals(records, sample)]


def _lists(records: RunRecords, sample: Sample, result: str) -> list[list[float]]:
    return [
        [np.nan if value is None else value for value in row or []]
        for row in sample.table.column(records.column_of(result)).to_pylist()
    ]


def _names(records: RunRecords, sample: Sample, count: int) -> list[str]:
    field = sample.table.schema.field(records.column_of("coefficients"))
    named = (field.metadata or {}).get(b"terms", b"").decode().split(",")
    return named if len(named) == count else [f"term {number}" for number in range(count)]


def _coefficients(records: RunRecords, sample: Sample) -> Picture:
    values, errors = (_lists(records, sample, name) for name in ("coefficients", "standard_errors"))
    count = min(max(map(len, values)), MAX_TERMS)
    names = _names(records, sample, max(map(len, values)))[:count]
    rows = []
    for term in range(count):
        own = np.array([row[term] for row in values if len(row) > term])
        error = np.array([row[term] for row in errors if len(row) > term])
        error = error[np.isfinite(error)]
        low, middle, high = np.quantile(own[np.isfinite(own)], [0.05, 0.5, 0.95])
        rows.append((names[term], len(own), low, middle, high, float(np.median(error)) if len(error) else None))

    def draw(axes: Axes) -> None:
        places = np.arange(count)
        axes.hlines(places, [row[2] for row in rows], [row[4] for row in rows], color=SERIES[0], linewidth=5, alpha=0.5)
        middle = [row[3] for row in rows]
        axes.errorbar(
            middle,
            places,
            xerr=[1.96 * (row[5] or 0.0) for row in rows],
            fmt="o",
            color=SERIES[1],
            capsize=3,
            markersize=4,
        )
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel("coefficient")

    table = [(name, n, float(low), float(mid), float(high), error) for name, n, low, mid, high, error in rows]
    header = ("term", "fits", "5 % quantile", "median", "95 % quantile", "median standard error")
    caption = (
        f"For {len(values):,} fits. The bar spans nine fits in ten; the dot is the median, with ± 1.96 median "
        "standard errors."
    )
    height = max(1.6, 0.8 + 0.28 * count)
    return Picture("Coefficients", caption, render(draw, "coefficients", height), header, table)


def _condition(records: RunRecords, sample: Sample) -> list[Picture]:
    condition = sample.numbers(records.column_of("condition"))
    values, errors = (_lists(records, sample, name) for name in ("coefficients", "standard_errors"))
    relative = np.array([_largest(error, value) for error, value in zip(errors, values, strict=True)])
    shown = np.isfinite(condition) & np.isfinite(relative) & (relative > 0)
    if not shown.any():
        return []

    def draw(axes: Axes) -> None:
        axes.loglog(condition[shown], relative[shown], ".", color=SERIES[0], markersize=3, alpha=0.6)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("condition of the column-scaled design")
        axes.set_ylabel("largest standard error / coefficient")

    decades = np.floor(np.log10(condition[shown])).astype(int)
    rows = [
        (f"10^{d} … 10^{d + 1}", int((decades == d).sum()), float(np.median(relative[shown][decades == d])))
        for d in np.unique(decades)
    ]
    caption = f"For {int(shown.sum()):,} fits that have standard errors."
    header = ("condition", "fits", "median of the largest error / coefficient")
    return [Picture("Condition against error", caption, render(draw, "condition"), header, rows)]


def _largest(errors: list[float], values: list[float]) -> float:
    """The largest error relative to its coefficient, or NaN if there is none."""
    found = [abs(e / v) for e, v in zip(errors, values, strict=False) if np.isfinite(e) and v]
    return max(found, default=np.nan)


def _descent(records: RunRecords, sample: Sample) -> Picture:
    steps = sample.numbers(records.column_of("steps"))
    converged = np.array(sample.table.column(records.column_of("converged")).to_pylist(), bool)
    caption = f"{int(converged.sum()):,} of {len(converged):,} descents converged."
    return histogram("Steps of the descent", caption, steps, "steps")


def _residuals(records: RunRecords, sample: Sample) -> list[Picture]:
    """The residuals of the fits with the lowest r², if the input can still be read."""
    quality = sample.numbers(records.column_of("r_squared"))
    order = np.argsort(np.where(np.isfinite(quality), quality, np.inf), kind="stable")[:WORST]
    fits = [each for each in residuals.fitted_datasets(records, sample.select(order)) if len(each.fitted)]
    if not fits:
        return []

    def draw(axes: Axes) -> None:
        for number, fit in enumerate(fits):
            axes.plot(
                fit.fitted,
                fit.residuals,
                ".",
                color=SERIES[number],
                markersize=4,
                label=f"part {fit.part}, row {fit.row}",
            )
        axes.axhline(0, color=SERIES[5], linewidth=0.8)
        axes.set_xlabel("fitted value")
        axes.set_ylabel("residual")
        legend(axes)

    rows = [
        (fit.part, fit.row, len(fit.residuals), float(np.mean(fit.residuals**2)), float(np.abs(fit.residuals).max()))
        for fit in fits
    ]
    header = ("part", "row in it", "observations", "mean squared residual", "largest")
    caption = f"The {len(fits)} fits with the lowest r² of {len(quality):,}, computed from the input's rows."
    return [Picture("Residuals of the worst fits", caption, render(draw, "residuals"), header, rows)]
