"""What names a row, and the random numbers that follow from its name: the same whatever is computed beside it.

Begin with ``draws.py`` (what is drawn for each row); then ``identity.py`` (what names it), ``folds.py`` (the words of
a name), ``threefry.py`` (how they are folded into a key), ``names.py`` (what a file is called) and ``row_numbers.py``
(its rows' places, as the reader gives them).
"""
