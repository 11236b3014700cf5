"""Lookups: small tables whose columns are joined to the input's rows by key.

A plan carries a :class:`LookupTable`, which says what is joined and of which files, never rows. Each process that
computes reads the table once and joins it to what it reads, with an :class:`OpenLookup`. Begin with ``table.py``.
"""

from jaxbatch.input.lookup.table import LookupTable, OpenLookup

__all__ = ["LookupTable", "OpenLookup"]
