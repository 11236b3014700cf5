"""A kernel of groups that is quick to compile: it counts their rows."""

COUNT = """
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxbatch import Column, Grouping, Kernel


@dataclass(frozen=True)
class Rows(Kernel):
    inputs = (Column("counted"),)
    outputs = (Column("rows", "int"),)

    def row(self, counted):
        return {"rows": counted.astype(int)}


@dataclass(frozen=True, kw_only=True)
class Counted(Kernel):
    grouping: Grouping
    second_stage: Kernel = Rows()
    inputs = (Column("x", shape=("n",)),)
    outputs = (Column("counted"),)

    def row(self, x, n):
        return {"counted": jnp.asarray(n, x.dtype)}

    def merge(self, left, right):
        return {name: left[name] + right[name] for name in left}

    def empty_state(self):
        return {"counted": np.zeros(()), "status": np.zeros((), np.int8)}


@dataclass(frozen=True)
class Count(Kernel):
    by: list[str]

    def bind(self, context):
        return Counted(grouping=Grouping(tuple(self.by), (Column("x"),), False))
"""
