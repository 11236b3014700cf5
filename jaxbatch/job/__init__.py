"""A job file as a value: TOML, variables and overrides in; a validated ``Job`` or an error that says what to change.

Inputs, JAX and what a kernel computes are not known here.
Begin with ``model.py``.
"""
