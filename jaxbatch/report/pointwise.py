"""Pictures of results that are numbers: how each is distributed, and where in the domain rows failed."""

import numpy as np
from matplotlib.axes import Axes

from jaxbatch.columns import STATUS
from jaxbatch.report.charts import SERIES, Picture, drawn, histogram, legend
from jaxbatch.report.source import RunRecords

COLUMNS = 9
"""So many results have a picture."""

POINTS = 3_000
"""At most so many are drawn on a map."""


def pictures(source: RunRecords) -> list[Picture]:
    """The distribution of every result, and the statuses over the domain."""
    sample = source.sample
    if not len(sample.row):
        return []
    found = [
        histogram(f"Distribution of {name}", f"Of {len(sample.row):,} rows.", sample.numbers(name), name)
        for name in source.results[:COLUMNS]
    ]
    return [*found, _map(source)] if source.inputs else found


def _map(source: RunRecords) -> Picture:
    """Statuses over the first two inputs, or the first."""
    sample = source.sample
    across, up, *_ = [*source.inputs, None]
    statuses = np.array(sample.table.column(source.written(STATUS)).to_pylist())
    names = sorted(set(statuses), key=lambda name: (name != "ok", name))
    x = sample.numbers(across)
    y = np.zeros(len(x)) if up is None else sample.numbers(up)
    step = max(1, len(x) // POINTS)

    def draw(axes: Axes) -> None:
        for number, name in enumerate(names):
            chosen = np.flatnonzero(statuses == name)
            chosen = chosen[::step] if name == "ok" else chosen[:POINTS]
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
    caption = f"Of {len(x):,} rows; where statuses lie in the domain."
    return Picture("Statuses over the domain", caption, drawn(draw, "statuses"), header, rows)


def _range(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.min():.6g} … {finite.max():.6g}" if len(finite) else "not finite"
