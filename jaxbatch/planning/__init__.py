"""A job, the input's footers and the traced kernel become a ``Plan``: a value that says all a run will do.

No row is read for it but what a kernel asks beforehand, and nothing is written.
Begin with ``planner.py``; ``plan.py`` is what comes out.
"""
