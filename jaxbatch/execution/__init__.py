"""One run after its plan: shards and parts are computed, published, counted and retried, on threads of this process.

Workers of Ray run the same ``shard_run.py``; what else needs Ray is in ``cluster``. What a folder may hold is decided
in ``output``. Begin with ``single_run.py`` (a run from its plan to its seal), then ``shard_run.py`` (a shard) and
``parts/write_part.py`` (a part, from its rows to its receipt). Retries are counted in ``engines/retries.py``.
"""
