"""How NumPy's temporary arrays get their memory."""

import functools

import numpy as np


@functools.cache
def keep_freed_memory() -> None:
    """Lets this process keep the memory of freed arrays below 31 MiB for the next ones.

    At first the C library of Linux returns blocks above 128 KiB to the system when they are freed, and each temporary
    array is filled with zeros page by page again, which takes as long as the arithmetic. It stops doing so for blocks
    no larger than one that has been freed (``mallopt(3)``, M_MMAP_THRESHOLD). The block freed here is never touched, so
    that it costs nothing; elsewhere this does nothing.
    """
    np.empty(31 << 20, np.uint8)
