"""A run as a job of a Ray cluster: what is sent, what has become of it, and its exit code.

Begin with ``request.py``, the job as a request; ``bundle.py`` has the files that go along, ``client.py`` is how Ray's
job server is spoken to.
"""
