"""A row's random key: which input it is, and how the row function sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxbatch.columns import Column

ARGUMENT = "key"
"""The argument of a user's function that is the row's random key where the job has a seed."""

DTYPE = "key"
"""The dtype of the column of a kernel that is."""

_GENERATOR = "threefry2x32"


def key_columns(columns: Sequence[Column]) -> list[str]:
    """The names of the random keys among some columns."""
    return [column.name for column in columns if column.dtype == DTYPE]


def with_typed_keys(values: Mapping[str, Any], inputs: Sequence[Column]) -> dict[str, Any]:
    """A row's inputs with each random key as JAX's typed key instead of its two words, uint32 ``[2]``."""
    import jax

    typed = {name: jax.random.wrap_key_data(values[name], impl=_GENERATOR) for name in key_columns(inputs)}
    return {**values, **typed}


def struct(column: Column, sizes: Mapping[str, int], kind: np.dtype) -> Any:
    """Shape and dtype of one row's input before its keys are typed: two words of a random key.

    Args:
        column: the input.
        sizes: the padded size of each named dimension.
        kind: the column's NumPy type.
    """
    import jax

    return jax.ShapeDtypeStruct((2,) if column.dtype == DTYPE else column.sized(sizes), kind)
