"""The output folder: how it is claimed by a run, filled with parts, sealed, and verified later.

Knows neither JAX nor Ray, and computes nothing.
Begin with ``part_file.py`` (one part and its receipt), then ``claim.py``.
"""
