"""The input: which files there are, which rows and columns they hold, and rows read from them as Arrow tables.

No plan, no JAX, no result: what is cut here is a pure function of the job and the files' footers.
Begin with ``listing.py`` (the files); then ``schemas.py`` (footers), ``shards.py`` (the cutting), ``row_reader.py``.
"""
