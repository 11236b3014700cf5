"""The net under refactorings: small jobs whose outputs are compared with digests that were recorded.

Same job, same bytes, before and after the code has been turned round. ``jobs/`` has the jobs, ``tasks.py`` makes their
input, ``compute.py`` runs them all on one engine, ``digests.json`` holds what came of it on the day of recording, and
``python -m tests.golden.record`` records anew: see there for when one may.
"""
