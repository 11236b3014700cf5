"""All that knows Ray: an engine of worker processes on a cluster, and runs submitted as Ray jobs.

Each worker computes shards as ``execution/shard_run.py`` does; here is only where it runs, and what happens when it
dies.
Begin with ``engine.py``; ``submission/`` is the other half.
"""
