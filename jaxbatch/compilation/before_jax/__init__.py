"""What is done about JAX without having imported it: to begin that, and to know whether its devices can be only CPUs.

What must be set before JAX starts does not belong here, but in ``process_setup.py``. Begin with ``jax_import.py``.
"""
