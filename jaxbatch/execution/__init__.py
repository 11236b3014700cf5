"""One run, on the threads of this process: parts read, computed, published, counted and tried again.

What needs Ray is in ``cluster``; what a folder may hold is decided in ``output``.
Begin with ``attempt.py`` (a run from its plan to its seal), then ``worker.py`` (a part from its rows to its receipt).
"""
