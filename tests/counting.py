"""A kernel for tests: it writes down every row it is given, and takes its time."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxbatch import Column, Kernel


@dataclass(frozen=True)
class Counting(Kernel):
    seconds: float = 0.0

    inputs = (Column("x"),)
    outputs = (Column("y"),)

    def bucket(self, columns):
        log = os.environ.get("COUNTING_LOG")
        if log:
            with Path(log).open("a") as file:
                file.writelines(f"{x:.0f}\n" for x in np.asarray(columns["x"]))
        time.sleep(self.seconds)
        return 0

    def row(self, x):
        return {"y": jnp.sin(x) * x}
