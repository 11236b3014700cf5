"""JAX's functions with derivatives that keep their digits wherever the function is evaluated.

Some of JAX's own derivative rules subtract what is nearly equal: 1 − tanh² in the tail, (cos πx − sinc x)/x near 0.
``elementary.py`` and ``special.py`` have each such function with a rule that does not, to any order; begin with
``rewriting.py``, which puts them in the place of JAX's in a program.
"""

from jaxbatch.series.stable_derivatives.rewriting import (
    eval_equation,
    needs_rewriting,
    stable_primitive,
    with_stable_derivatives,
)

__all__ = ["eval_equation", "needs_rewriting", "stable_primitive", "with_stable_derivatives"]
