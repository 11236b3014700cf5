"""A user's own kernel: two programs, a list of any length, outputs that may be absent, a status of its own."""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxbatch import Column, Kernel, Maybe, Status


@dataclass(frozen=True)
class Scaled(Kernel):
    """A list's values times a factor, and the logarithm of their sum; rows of kind 1 are squared before."""

    factor: float = 1.0

    inputs = (Column("kind", "int"), Column("values", shape=("n",)))
    outputs = (Column("scaled", shape=("n",)), Column("log_sum"), Column("count", "int"), Column("positive", "bool"))
    buckets = 2

    def bucket(self, columns):
        return (columns["kind"] == 1).astype(int)

    def program(self, bucket):
        def row(*, kind, values, n):
            values = values * values if bucket else values
            total = jnp.sum(jnp.where(jnp.arange(values.shape[0]) < n, values, 0))
            return {
                "scaled": self.factor * values,
                "log_sum": Maybe(jnp.log(jnp.where(total > 0, total, 1)), total > 0),
                "count": n,
                "positive": total > 0,
                "n": n,
                "status": jnp.where((kind == 0) | (kind == 1), Status.ok, Status.invalid_input),
            }

        return row
