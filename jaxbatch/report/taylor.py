"""Draws Taylor expansions: the error against the order, the worst and best rows, and some expansions over the
function."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.polynomial.polynomial import polyval

from jaxbatch.report.charts import SERIES, Picture, legend, render
from jaxbatch.report.run_records import RunRecords
from jaxbatch.report.sample import Sample

SHOWN = 3
"""The number of expansions drawn over the function."""


def pictures(records: RunRecords) -> list[Picture]:
    """Error by order, the worst and best rows, and expansions over the function."""
    sample = records.sample.select(_finite(records))
    if not len(sample.row):
        return []
    errors = sample.table.column(records.column_of("errors"))
    last = np.array([abs(row[-1]) for row in errors.to_pylist()])
    order = np.argsort(last, kind="stable")
    found = [_by_order(errors), _extremes(records, sample, last, order)]
    centre, point = (records.plan.identity["input"]["columns"].get(name) for name in ("center", "point"))
    if centre in records.inputs and point in records.inputs:
        chosen = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int))]
        found.append(_over_the_function(records, sample, sample.select(chosen), centre, point))
    return found


def _finite(records: RunRecords) -> np.ndarray:
    errors = records.sample.table.column(records.column_of("errors")).to_pylist()
    return np.array([bool(row) and bool(np.isfinite(np.array(row, float)).all()) for row in errors], bool)


def _by_order(errors: pa.ChunkedArray) -> Picture:
    rows = errors.to_pylist()
    highest = max(map(len, rows))
    padded = np.full((len(rows), highest), np.nan)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = np.abs(row)
    counts = np.isfinite(padded).sum(axis=0)
    median, ninety, largest = np.nanquantile(padded, [0.5, 0.9, 1.0], axis=0)
    orders = np.arange(highest)

    def draw(axes: Axes) -> None:
        for values, label, colour in ((largest, "largest", 2), (ninety, "90 % quantile", 1), (median, "median", 0)):
            axes.semilogy(orders, np.where(values > 0, values, np.nan), label=label, color=SERIES[colour], marker=".")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("order")
        axes.set_ylabel("|true value − approximation|")
        legend(axes, 3)

    table = [
        (int(k), int(n), float(a), float(b), float(c))
        for k, n, a, b, c in zip(orders, counts, median, ninety, largest, strict=True)
    ]
    caption = f"For {len(rows):,} rows, each up to its own order."
    header = ("order", "rows", "median", "90 % quantile", "largest")
    return Picture("Error against order", caption, render(draw, "error-by-order"), header, table)


def _extremes(records: RunRecords, sample: Sample, last: np.ndarray, order: np.ndarray) -> Picture:
    def draw(axes: Axes) -> None:
        positive = last[last > 0]
        if len(positive):
            axes.hist(np.log10(positive), bins=40, color=SERIES[0])
        axes.set_xlabel("log₁₀ of the error at a row's highest order")
        axes.set_ylabel("rows")

    def line(number: int, which: str) -> tuple[object, ...]:
        values = [sample.table.column(name)[int(number)].as_py() for name in records.inputs]
        return which, int(sample.part[number]), int(sample.row[number]), *values, float(last[number])

    some = min(5, len(order))
    rows = [line(n, "worst") for n in order[::-1][:some]] + [line(n, "best") for n in order[:some]]
    exact = int((last == 0).sum())
    caption = f"The table has the worst and best of {len(order):,} rows; {exact:,} are exact."
    header = ("", "part", "row in it", *records.inputs, "error")
    return Picture("Worst and best rows", caption, render(draw, "last-errors"), header, rows)


def _over_the_function(records: RunRecords, sample: Sample, shown: Sample, centre: str, point: str) -> Picture:
    centres, points = (shown.numbers(name) for name in (centre, point))
    coefficients = shown.table.column(records.column_of("coefficients")).to_pylist()
    reach = np.abs(points - centres).max() * 1.5 or 1.0
    low, high = centres.min() - reach, centres.max() + reach
    xs = np.r_[sample.numbers(point), sample.numbers(centre)]
    ys = np.r_[
        sample.numbers(records.column_of("true_value")),
        [row[0] for row in sample.table.column(records.column_of("coefficients")).to_pylist()],
    ]
    near = (xs >= low) & (xs <= high)
    span = ys[near].min(), ys[near].max()
    room = 0.3 * (span[1] - span[0] or 1.0)

    def draw(axes: Axes) -> None:
        axes.plot(
            xs[near], ys[near], ".", color=SERIES[0], markersize=3, alpha=0.6, label="the function, at the rows' points"
        )
        for number, (c, p, a) in enumerate(zip(centres, points, coefficients, strict=True)):
            x = np.linspace(min(c, p) - reach / 3, max(c, p) + reach / 3, 200)
            axes.plot(
                x,
                polyval(x - c, a),
                color=SERIES[1 + number],
                label=f"about {c:.4g}, order {len(a) - 1}",
            )
            axes.plot(p, polyval(p - c, a), "o", color=SERIES[1 + number])
        axes.set_ylim(span[0] - room, span[1] + room)
        axes.set_xlabel("x")
        legend(axes)

    rows = [
        (float(c), float(p), len(a) - 1, float(polyval(p - c, a)), float(t))
        for c, p, a, t in zip(
            centres, points, coefficients, shown.numbers(records.column_of("true_value")), strict=True
        )
    ]
    header = ("center", "point", "order", "approximation", "true value")
    caption = "The best, a median and the worst row. The dot of each colour is the point of evaluation."
    return Picture("Expansions over the function", caption, render(draw, "expansions"), header, rows)
