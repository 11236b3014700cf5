"""The series rules, one per primitive, in a file per family that names the sources of its formulas.

Importing this package registers them all. docs/taylor-mode.md has every recurrence in one table.
"""

from jaxbatch.series.rules import calls, control, cumulative, elementary, linear, matrices, piecewise, powers, special

__all__ = ["calls", "control", "cumulative", "elementary", "linear", "matrices", "piecewise", "powers", "special"]
