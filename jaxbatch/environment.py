"""What must be set before JAX starts, so that the machine stays out of the results."""

import os


def prepare(*, platforms: str | None = None) -> None:
    """Fix the number of CPUs that XLA counts, and optionally the platforms it may use.

    XLA splits large reductions by that number, so it decides the last bits; a constant takes the machine
    out of them. It takes effect only where JAX has not started yet.
    """
    os.environ["NPROC"] = "8"
    if platforms is not None:
        os.environ["JAX_PLATFORMS"] = platforms
