"""Arrow columns to padded NumPy arrays of a batch, the groups of rows, and a batch's results back to Arrow columns.

Reading files and running programs do not belong here.
Begin with ``decode.py``; ``encode.py`` is the way back, ``grouping.py`` finds which rows are one group.
"""
