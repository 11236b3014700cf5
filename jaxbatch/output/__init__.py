"""The output folder: how it is claimed by a run, filled with parts, sealed, and verified later.

It knows neither JAX nor Ray, and computes no result. Begin with ``part_file.py`` (one part and its receipt), then
``claim.py`` (whose the folder is) and ``seal.py`` (when it is finished); ``run_output.py`` puts them together,
``ledger.py`` has the runs of an output that grows.
"""
