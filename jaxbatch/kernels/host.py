"""A kernel that NumPy computes on the host, many rows at once: nothing is traced for it, and nothing compiled."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxbatch.errors import JobError
from jaxbatch.kernels.base import Kernel


class HostKernel(Kernel):
    """A kernel that is computed by NumPy.

    Its results must not depend on which rows are computed together, nor on the processor: no part of a run's identity
    speaks of either. So it uses elementwise operations, sums in a fixed order, and exact products only.
    """

    uses_jax = False
    buckets = 0
    """There are no programs to choose from."""
    ragged: str | None = None
    """The named dimension along which :meth:`compute` is given lists end to end."""
    sources: tuple[str, ...] = ()
    """The packages and modules whose code decides the results; their syntax trees stand for it in the identity."""

    def most_rows(self, sizes: Mapping[str, int]) -> int:
        """How many rows may be computed at once, so that temporary arrays stay small beside a chunk of the input.

        Args:
            sizes: the padded size of each named dimension of the inputs but :attr:`ragged`.
        """
        del sizes
        return sys.maxsize

    def compute(
        self, columns: Mapping[str, np.ndarray], lengths: np.ndarray | None, order: np.ndarray | None = None
    ) -> Mapping[str, Any]:
        """The outputs of many rows.

        Args:
            columns: the inputs by name, of shape [rows, …]. Those whose first dimension is :attr:`ragged` have the
                lists of all rows end to end instead, [Σ lengths, …]. Other named dimensions are padded with zeros to
                :meth:`Kernel.size`, and come by name with each row's own length.
            lengths: each row's length along :attr:`ragged`, int64 of shape [rows]; None if there is no such dimension.
            order: the places of what :attr:`ragged` lists hold, list by list, [Σ lengths]; None if they lie so.

        Returns:
            By name, arrays [rows, …] or :class:`~jaxbatch.columns.Maybe` of such; the lengths of named dimensions of
            the outputs; and ``"status"``, of shape [rows].
        """
        del columns, lengths, order
        raise JobError(f"The kernel {type(self).__name__} does not compute.", "Define compute().")
