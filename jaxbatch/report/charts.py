"""Charts as SVG with the page's colours, each with its numbers as a table; and the bars and histograms that several
files draw."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.4, 2.9
"""Inches. Pictures are hardly scaled down, so their text can be read on a phone."""

_COLOURS = {f"#0a0b{number:02x}": f"var(--c{number})" for number in range(6)} | {"#0a0bf0": "var(--ink)"}
INK, *SERIES = [list(_COLOURS)[-1], *list(_COLOURS)[:-1]]
"""Placeholder colours, replaced by the page's CSS variables for light and dark."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "grid.color": INK,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Picture:
    """A picture with its caption, and its numbers as a table."""

    title: str
    caption: str
    svg: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


def render(draw: Callable[[Axes], None], name: str, height: float = HEIGHT) -> str:
    """The SVG of what ``draw`` draws on a pair of axes. ``name`` makes its element ids unique on the page."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r'\1 role="img"', text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for placeholder, colour in _COLOURS.items():
        text = text.replace(placeholder, colour)
    return text


def legend(axes: Axes, columns: int = 2) -> None:
    """Add a legend above the axes, where it hides nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        fontsize=8,
        markerscale=2,
        borderaxespad=0.1,
    )


def bars(title: str, caption: str, what: str, unit: str, values: Mapping[str, float]) -> Picture:
    """A horizontal bar for each name, its length in ``unit``."""
    names = list(values)

    def draw(axes: Axes) -> None:
        axes.barh(names, list(values.values()), color=SERIES[0], height=0.65)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(unit)

    svg = render(draw, slug(title), max(1.2, 0.6 + 0.26 * len(names)))
    return Picture(title, caption, svg, (what, unit), list(values.items()))


def histogram(title: str, caption: str, values: np.ndarray, unit: str) -> Picture:
    """A histogram of the finite values. The outer bars hold the outermost hundredth of them."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high, 41) if high > low else np.array([low - 0.5, low + 0.5])

    def draw(axes: Axes) -> None:
        axes.hist(np.clip(finite, edges[0], edges[-1]), bins=edges, color=SERIES[0])  # type: ignore[arg-type]
        axes.set_xlabel(unit)
        axes.set_ylabel("rows")

    if len(finite) and (finite.min() < edges[0] or finite.max() > edges[-1]):
        caption += " The outer bars also hold what lies beyond them, half a percent of the rows on each side."
    quantiles = np.quantile(finite, [0, 0.25, 0.5, 0.75, 1]) if len(finite) else [np.nan] * 5
    named = ("least", "quarter", "median", "three quarters", "greatest")
    rows = [*zip(named, map(float, quantiles), strict=True), ("not finite or null", int(len(values) - len(finite)))]
    return Picture(title, caption, render(draw, slug(title)), ("", unit), rows)


def slug(text: str) -> str:
    """A text as an id of an HTML element."""
    return re.sub(r"\W+", "-", text.lower()).strip("-") or "picture"
