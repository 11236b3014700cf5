"""A kernel of one's own: parameters, columns, and one row's arithmetic."""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxbatch import Column, Kernel, Status


@dataclass(frozen=True)
class Annuity(Kernel):
    """The level payment of a loan, and its total interest."""

    periods: int = 12

    inputs = (Column("principal"), Column("rate"))
    outputs = (Column("payment"), Column("interest"))

    def row(self, principal, rate):
        growth = jnp.expm1(self.periods * jnp.log1p(rate))
        payment = jnp.where(rate == 0, principal / self.periods, principal * rate * (1 + 1 / growth))
        return {
            "payment": payment,
            "interest": payment * self.periods - principal,
            "status": jnp.where(rate > -1, Status.ok, Status.invalid_input),
        }
