"""A run submitted as a job of a Ray cluster: what is sent, how it is followed, and its exit code.

Begin with ``request.py``, a job as a request; ``bundle.py`` collects the files that are sent along, ``client.py`` calls
Ray's job server, ``following.py`` waits for the end. How a run computes on a cluster is ``cluster/engine.py``'s.
"""
