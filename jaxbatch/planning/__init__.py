"""A job, the input's footers and the traced kernel become a ``Plan``: a value that says all that a run will do.

Nothing is written here, and no row is read except what a kernel asks for.
Begin with ``planner.py``, step by step; ``plan.py`` is the result.
"""
