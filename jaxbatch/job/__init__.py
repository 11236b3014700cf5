"""A job file as a value: TOML, variables and overrides in; a validated ``Job`` or a readable complaint out.

Nothing here opens an input, imports JAX or knows what a kernel computes.
Begin with ``model.py``.
"""
