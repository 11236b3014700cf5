"""Arithmetic that least squares need beyond float64: numbers of twice the precision, exponentials without libm.

Everything is for NumPy arrays, and but for ``elementary.py`` for JAX arrays too; ``array_library.py`` has what the two
spell differently. Nothing here knows of datasets or fits. Begin with ``double_double.py``.
"""
