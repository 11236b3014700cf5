"""All that knows Ray: an engine of worker processes on a cluster, and runs submitted as Ray jobs.

Each worker does what ``execution/worker.py`` says; here is only where it runs and what happens when it dies.
Begin with ``engine.py``; ``submission/`` is the other half.
"""
