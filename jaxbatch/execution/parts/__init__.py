"""A part from its rows to its receipt: one builder for each stage of a plan, and ``write_part``, which calls them.

How rows and groups are computed is in ``execution/compute``; what a part's file looks like is
in ``output/part_file.py``. Begin with ``write_part.py``; ``rows.py`` is the builder of most jobs.
"""
