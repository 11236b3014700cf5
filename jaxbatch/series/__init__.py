"""Taylor coefficients of a JAX function along a line: the one place that knows how they are computed."""

from jaxbatch.series.taylor import MAX_NESTED_ORDER, SeriesError, coefficients

__all__ = ["MAX_NESTED_ORDER", "SeriesError", "coefficients"]
