"""Taylor mode: truncated power series through any JAX function."""

import jaxbatch.series.rules  # noqa: F401  (registers every rule)
from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series
from jaxbatch.series.expansion import Expansion
from jaxbatch.series.interpreter import register_rule
from jaxbatch.series.transform import REMEDY, SeriesError, expand, taylor

__all__ = [
    "REMEDY",
    "Arithmetic",
    "Expansion",
    "Recurrence",
    "Series",
    "SeriesError",
    "expand",
    "register_rule",
    "taylor",
]
