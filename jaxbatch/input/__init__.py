"""The input: which files there are, which rows and columns they hold, and rows read from them as Arrow tables.

Plans, JAX and results do not belong here: how the input is cut is a pure function of the job and the files' footers.
Begin with ``listing.py`` (the files); then ``file_checks.py`` (their footers, and which files are refused),
``shards.py`` (cutting) and ``row_reader.py`` (rows).
"""
