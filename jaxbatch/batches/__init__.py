"""Arrow columns to padded NumPy arrays of a batch, and a batch's results back to Arrow columns.

Nothing here reads a file or runs a program.
Begin with ``decode.py``; ``encode.py`` is the way back.
"""
