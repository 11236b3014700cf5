"""Arrow's functions, ``pyarrow.compute``, imported when the first of them is called.

Making its three hundred functions takes a twentieth of the time until a run begins to read, and a job of numbers calls
none of them.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return getattr(pyarrow.compute, name)
