"""Least squares, one fit a dataset, as two kernels: a statistic of the rows, and the fit that follows from it.

The arithmetic is in ``least_squares``.
Begin with ``kernel.py``, which has the parameters; ``statistic.py`` and ``fit.py`` are the two stages.
"""
