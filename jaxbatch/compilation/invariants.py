"""What every result relies on: NaN stays NaN, and rounding follows IEEE 754.

Flags of XLA and settings of JAX can break that, and a status or a last digit would be wrong without notice. Those known
to do so are refused by name. If any other flag is set that is not jaxbatch's own, a small program tests on the device
that it holds.
"""

import functools
import re
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from jaxbatch.compilation import instructions, xla_flags
from jaxbatch.errors import JobError

if TYPE_CHECKING:
    from jax import Array

_UNSAFE_FLAGS = re.compile(r"xla_(?!cpu_enable_fast_min_max)\w+_enable_fast_(math|min_max)")
"""Names of flags that allow the compiler to lose NaN and infinities, or to reorder sums. The CPU's flag for minima and
maxima is set by default, and keeps NaN."""

_UNSAFE_PREFIX = "xla_cpu_fast_math_honor_"
"""How the names of flags begin that limit those above, and have no effect without them."""

_HARMLESS = (instructions.MAX_ISA, "xla_force_host_platform_device_count", "xla_dump_")
"""How the names of flags begin on which no result depends, or which jaxbatch sets."""

_SETTINGS = {
    "jax_debug_nans": "ends a batch at a NaN instead of giving its row the status nonfinite",
    "jax_debug_infs": "ends a batch at an infinity instead of giving its row the status nonfinite",
    "jax_disable_jit": "prevents compilation",
    "jax_no_execution": "prevents execution",
}
"""Settings of JAX under which no run can work, with the reason."""


def check() -> None:
    """Check that no flag or setting is in effect under which results could be wrong.

    Raises:
        JobError: some are; it names them.
    """
    import jax

    for name, effect in _SETTINGS.items():
        if getattr(jax.config, name):
            raise JobError(f"{name.upper()} is set, which {effect}.", f"Unset {name.upper()} and run again.")
    check_flags()
    if wrong := _wrong_in_effect():
        _refuse(f"{xla_flags.VARIABLE}, as JAX started with it in this process", wrong)


def check_flags() -> None:
    """The part of :func:`check` that looks at the environment alone, and mostly without JAX.

    Raises:
        JobError: flags are set under which results could be wrong; it names them.
    """
    settings = instructions.run_env()
    for variable, text in ((xla_flags.VARIABLE, settings.flags), (xla_flags.TPU_VARIABLE, settings.tpu_flags)):
        flags = xla_flags.parsed(text)
        on = {name: value for name, value in flags.items() if xla_flags.is_true(value)}
        unsafe = {name: value for name, value in on.items() if _UNSAFE_FLAGS.fullmatch(name)}
        if unsafe:
            related = {name: value for name, value in flags.items() if name.startswith(_UNSAFE_PREFIX)}
            _refuse(variable, unsafe | related)
        others = {name: value for name, value in flags.items() if not name.startswith(_HARMLESS)}
        if others and (lost := _lost_here()):
            _refuse(variable, others, f": here {', '.join(lost)}")


def _lost_here() -> tuple[str, ...]:
    import jax

    return _lost(jax.local_devices()[0])


def _wrong_in_effect() -> dict[str, str]:
    """Flags that break results and that XLA has read in this process, whatever the environment is by now."""
    from jaxlib.xla_client import CompileOptions

    options = CompileOptions()  # keeps the objects below alive, which are parts of it
    build = options.executable_build_options
    flags = build.debug_options
    return {name: "true" for name in dir(flags) if _UNSAFE_FLAGS.fullmatch(name) and getattr(flags, name)}


def _refuse(variable: str, flags: dict[str, str], here: str = "") -> NoReturn:
    named = " ".join(f"--{name}={value}" if value else f"--{name}" for name, value in flags.items())
    raise JobError(
        f"{variable} has {named}, under which results can be wrong{here}.",
        "Remove these flags from it, or from the file it names, and run again in a new process.",
    )


@functools.cache
def _lost(device: Any) -> tuple[str, ...]:
    """What does not hold on a device, in words; empty if all does."""
    import jax

    from jaxbatch.least_squares import error_free_transforms_hold

    given = {
        kind: (np.ones(16, kind), np.array([np.nan, np.inf, -np.inf, 1.0] * 4, kind)) for kind in ("float32", "float64")
    }
    with jax.enable_x64(True):
        arguments = jax.device_put(given, device)
        program = jax.jit(lambda each: {kind: _held(*numbers) for kind, numbers in each.items()})
        found = jax.device_get(program.lower(arguments).compile()(arguments))
    lost = dict.fromkeys(what for held in found.values() for what, holds in held.items() if not holds)
    if device.platform == "cpu" and not error_free_transforms_hold():
        lost["sums are not rounded one by one"] = None
    return tuple(lost)


def _held(ones: "Array", given: "Array") -> "dict[str, Array]":
    """Whether each property holds, by a text that says how it is broken.

    Args:
        ones: of shape [16].
        given: NaN, ∞, −∞ and 1, four times; of shape [16].
    """
    import jax.numpy as jnp

    root = jnp.sqrt(-ones)
    huge = ones * (float(jnp.finfo(ones.dtype).max) / 2)
    infinite = huge * 4
    mixed = jnp.concatenate([ones, root])
    both = (jnp.maximum(root, ones), jnp.maximum(ones, root), jnp.minimum(root, ones), jnp.minimum(ones, root))
    return {
        "√−1 is finite": ~jnp.isfinite(root).any(),
        "an overflow is finite": ~jnp.isfinite(infinite).any(),
        "NaN or infinity of the input is finite": (jnp.isfinite(given) == (jnp.abs(given - 1) < 1)).all()
        & (jnp.isfinite(given).sum() == 4),
        "NaN equals itself": ~(root == root).any() & (root != root).all(),
        "a minimum or maximum loses NaN": jnp.isnan(jnp.stack(both)).all()
        & jnp.isnan(jnp.stack([jnp.max(mixed), jnp.min(mixed)])).all(),
        "a sum or product of matrices loses NaN": jnp.isnan(jnp.stack([jnp.sum(mixed), mixed @ mixed])).all()
        & jnp.isinf(infinite @ ones),
        "the sign of 0 is lost": (1 / (ones * -0.0) < 0).all(),
    }
