"""The statistic of a dataset that every fit follows from: the Gram matrix of [1 X y] in twice the precision.

``sufficient.py`` says what it is. ``ragged.py`` computes those of many datasets by NumPy, from the exact slices of
``slices.py``; ``gram.py`` that of one padded dataset by JAX. How a fit follows does not belong here.
"""
