"""Draws results that are single numbers: the distribution of each, and where in the domain rows failed.

It serves every kernel without a file of its own.
"""

import numpy as np
from matplotlib.axes import Axes

from jaxbatch.columns import STATUS
from jaxbatch.report.charts import SERIES, Picture, histogram, legend, render
from jaxbatch.report.run_records import RunRecords

MAX_RESULTS = 9
"""The number of results that get a picture."""

MAX_POINTS = 3_000
"""The number of points per status in the map."""


def pictures(records: RunRecords) -> list[Picture]:
    """The distribution of each result, and the statuses over the domain if the output keeps inputs."""
    sample = records.sample
    if not len(sample.row):
        return []
    found = [
        histogram(f"Distribution of {name}", f"Of {len(sample.row):,} rows.", sample.numbers(name), name)
        for name in records.results[:MAX_RESULTS]
    ]
    return [*found, _map(records)] if records.inputs else found


def _map(records: RunRecords) -> Picture:
    """Statuses over the first two inputs, or over the only one."""
    sample = records.sample
    across, up, *_ = [*records.inputs, None]
    statuses = np.array(sample.table.column(records.column_of(STATUS)).to_pylist())
    names = sorted(set(statuses), key=lambda name: (name != "ok", name))
    x = sample.numbers(across)
    y = np.zeros(len(x)) if up is None else sample.numbers(up)
    step = max(1, len(x) // MAX_POINTS)

    def draw(axes: Axes) -> None:
        for number, name in enumerate(names):
            chosen = np.flatnonzero(statuses == name)
            chosen = chosen[::step] if name == "ok" else chosen[:MAX_POINTS]
            height = y[chosen] if up else np.full(len(chosen), float(number))
            axes.plot(
                x[chosen],
                height,
                ".",
                color=SERIES[number % len(SERIES)],
                markersize=3 if name == "ok" else 5,
                alpha=0.7,
                label=name,
            )
        axes.set_xlabel(across)
        if up:
            axes.set_ylabel(up)
            legend(axes)
        else:
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(-0.5, len(names) - 0.5)

    rows = [
        (
            name,
            int((statuses == name).sum()),
            *(_range(values[statuses == name]) for values in ((x, y) if up else (x,))),
        )
        for name in names
    ]
    header = ("status", "rows", *(f"{name}, from … to" for name in ((across, up) if up else (across,))))
    caption = f"Where in the domain each status occurs, for {len(x):,} rows."
    return Picture("Statuses over the domain", caption, render(draw, "statuses"), header, rows)


def _range(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():.6g} … {finite.max():.6g}" if len(finite) else "not finite"
