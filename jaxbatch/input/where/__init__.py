"""The expression in ``[input] where``: which rows are computed.

It has the syntax of Python, whose parser reads it (``syntax.py``), and is never evaluated as Python. ``kinds.py``
checks it against the input's columns, ``evaluation.py`` finds the rows of a table that pass, by SQL's rules for nulls
and IEEE's for NaN, and ``outcomes.py`` whether any row of a file or row group could, by the ranges that ``ranges.py``
takes from Hive keys and footers. What ranges rule out is never read; they decide nothing else. Begin with
``condition.py``.
"""

from jaxbatch.input.where.condition import Condition, condition_of, parse
from jaxbatch.input.where.errors import WhereError

__all__ = ["Condition", "WhereError", "condition_of", "parse"]
