"""JAX's functions with derivatives that keep their digits wherever the function is evaluated.

Some of JAX's own derivative rules subtract what is nearly equal: 1 − tanh² in the tail, (cos πx − sinc x)/x near 0.
Here is each such function with a rule that does not, to any order, and a way to have a program use it.
"""

from jaxbatch.series.stable_derivatives.programs import applied, bind, concerns, exactly

__all__ = ["applied", "bind", "concerns", "exactly"]
