"""What names a row, and the random numbers that follow from its name: the same whatever is computed beside it.

Begin with ``draws.py`` (what is drawn for each row); then ``identity.py`` (what names it), ``folds.py`` (the words of
a name), ``threefry.py`` (how they are folded into a key) and ``names.py`` (what a file is called).
"""
