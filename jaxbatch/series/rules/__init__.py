"""One rule per primitive; a file per family, each naming its formulas' sources. Importing them registers them."""

from jaxbatch.series.rules import calls, control, cumulative, elementary, linear, matrices, piecewise, powers, special

__all__ = ["calls", "control", "cumulative", "elementary", "linear", "matrices", "piecewise", "powers", "special"]
