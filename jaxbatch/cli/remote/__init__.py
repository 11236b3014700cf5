"""The commands that reach a Ray cluster's job server: submit, status, logs and cancel.

What they do is in ``cluster/submission``; here is what they ask and print.
Begin with ``submit.py``.
"""
