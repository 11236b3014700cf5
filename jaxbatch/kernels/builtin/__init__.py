"""The kernels that come with jaxbatch, a module each; ``kernels/registry.py`` finds them by name.

The mathematics they call is in ``series`` and ``least_squares``.
Begin with ``apply.py``.
"""
