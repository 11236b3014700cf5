"""Small matrices of many datasets at once: factors, inverses, singular values, quadratic forms.

Arrays have the datasets on the last axis. What a matrix means for a fit does not belong here. Begin with
``triangles.py``, by which NumPy solves datasets of full rank; ``cholesky.py`` pivots, for all others and in JAX.
"""
