"""The input: which files there are, which rows and columns they hold, and rows read from them as Arrow tables.

Plans, JAX and results do not belong here: how the input is cut is a pure function of the job and the files' footers.
Begin with ``listing.py`` (the files); then ``schemas.py`` (footers), ``shards.py`` (cutting), ``row_reader.py`` (rows).
"""
