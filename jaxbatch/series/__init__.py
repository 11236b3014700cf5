"""Taylor mode: truncated power series through any JAX function, and derivative rules that keep their digits.

Mathematics on arrays: no files, no batches, no rows. Begin with ``transform.py``, the way in; ``interpreter.py`` runs a
program on series, ``rules/`` has one rule per primitive.
"""

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
