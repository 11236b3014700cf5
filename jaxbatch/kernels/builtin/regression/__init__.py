"""Least squares, one fit a dataset, as two kernels: a statistic of the rows, and the fit that follows from it.

The arithmetic is in ``least_squares``. Begin with ``kernel.py``, which has the parameters; ``host.py`` has both stages
by NumPy, for CPUs; ``statistic.py`` and ``fit.py`` have them as programs, for accelerators.
"""
