"""How many rows a batch has: by the bytes of a row and by the input, never by the machine, as it decides last bits."""

BATCH_BYTES = 16 * 2**20
"""The most that inputs and outputs of one batch hold, unless the job sets ``batch_rows``."""

MAX_WIDTH = 131_072
MIN_WIDTH = 8
"""Below 8 rows XLA may choose other instructions, and so other last bits."""

SECOND_STAGE_WIDTH = 1024
"""The widest batch of a kernel's second stage: about what one chunk of input gives, with little to pad."""


def width_limit(largest_part: int) -> int:
    """The widest batch an input can need: the next power of two of its largest part."""
    return min(MAX_WIDTH, max(MIN_WIDTH, 1 << max(largest_part - 1, 0).bit_length()))


def second_stage_limit(limit: int, *, one_group: bool) -> int:
    """The widest batch of a second stage whose first has the limit ``limit``."""
    return MIN_WIDTH if one_group else min(limit, SECOND_STAGE_WIDTH)


def batch_width(row_bytes: int, limit: int) -> int:
    """The largest power of two of rows of ``row_bytes`` that fits in ``BATCH_BYTES``, within ``limit``."""
    return min(limit, max(MIN_WIDTH, 1 << max((BATCH_BYTES // row_bytes).bit_length() - 1, 0)))
