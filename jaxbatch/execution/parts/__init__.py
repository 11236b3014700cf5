"""A part from its rows to its receipt: one builder for each stage of a plan, and ``write_part``, which calls them.

How rows or groups are computed is in ``evaluation.py`` and ``aggregation.py`` above; what a part's file looks like is
in ``output/part_file.py``. Begin with ``write_part.py``; ``rows.py`` is the builder of most jobs.
"""
