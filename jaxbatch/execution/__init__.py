"""One run, on the threads of this process: parts are read, computed, published, counted and retried.

What needs Ray is in ``cluster``; what a folder may hold is decided in ``output``. Begin with ``attempt.py`` (a run from
its plan to its seal), then ``shard_run.py`` (a shard) and ``parts/publish.py`` (a part, from its rows to its receipt).
"""
