"""A job, the input's footers and the traced kernel become a ``Plan``: a value that says all that a run will do.

Reading rows does not belong here, but for what a kernel asks beforehand; nor does writing anything.
Begin with ``planner.py``, step by step; ``plan.py`` is the result.
"""
