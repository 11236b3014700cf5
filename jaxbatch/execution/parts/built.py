"""What a builder makes: a part as a table, before it is encoded."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class BuiltPart:
    """A part's table. With ``status`` (int8, one a row) it lacks its last column still, which says that in words."""

    table: pa.Table
    status: np.ndarray | None = None
    row_groups: tuple[int, ...] = ()
    """The rows of each row group to write; empty for one row group."""
