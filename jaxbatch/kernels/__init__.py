"""What a kernel is, the user's functions that kernels compute, and the kernels that come with jaxbatch.

A kernel maps named columns to named columns, one row at a time; it knows no data files, no batches and no device.
Begin with ``base.py``; ``builtin/taylor.py`` is a short one to read next.
"""
