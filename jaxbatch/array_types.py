"""Dtypes and shapes of arrays, for annotations: ``Float[Array, "n p"]``.

They are those of jaxtyping where it has been imported before, as by the tests, which check them at each call. Otherwise
they mean anything: importing it takes a twentieth of the time in which a small job is done.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Num
else:

    class _Unchecked:
        def __class_getitem__(cls, _: Any) -> Any:
            return Any

    Bool = Float = Int = Num = _Unchecked

__all__ = ["Bool", "Float", "Int", "Num"]
