"""One GPU against the same machine's CPU and a hand-written jit loop: pointwise derivatives, Taylor, regression.

    python benchmarks/gpu.py            # where JAX sees no GPU it says "not measured"

The kernels are fed padded batches, as a worker feeds them; files are not part of it. The hand-written peer is
``jit(vmap(…))`` over the same batches with the same transfers. Medians of five runs.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxbatch.columns import ColumnType
from jaxbatch.compilation import process_setup
from jaxbatch.compilation.programs import Programs
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.builtin.derivatives import Derivatives
from jaxbatch.kernels.builtin.regression.kernel import Regression
from jaxbatch.kernels.builtin.taylor import Taylor
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.program_key import ProgramKey

REPEATS = 5
FLOAT = ColumnType("float", 0, None, 2.0**-52, "double")
INT = ColumnType("int", 0, None, 2.0**-52, "int64")
LISTS = {depth: ColumnType("float", depth, None, 2.0**-52, "list") for depth in (1, 2)}


@dataclass
class Case:
    """A kernel bound to columns, one batch for it, and the hand-written row function it competes with."""

    name: str
    kernel: Kernel
    program: ProgramKey
    batch: dict[str, np.ndarray]
    peer: Callable[..., Any]
    batches: int


def source(**types: ColumnType) -> BindContext:
    return BindContext(types=types, constants={}, precision="float64", folder=Path.cwd())


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    rows = 131_072
    x = rng.uniform(1.0, 9.0, rows)
    sqrt = jax.numpy.sqrt
    first, second = jax.grad(sqrt), jax.grad(jax.grad(sqrt))
    pointwise = Derivatives(function="jax.numpy:sqrt", order=2).bind(source(x=FLOAT))
    expansion = Taylor(function="jax.numpy:tanh", max_order=8).bind(source(center=FLOAT, point=FLOAT, order=INT))
    top = expansion.buckets - 1
    short = 16_384
    orders = {"center": x[:short] / 9, "point": x[:short] / 9 + 0.1, "order": np.full(short, 8)}
    fits = Regression(method="cholesky").bind(source(X=LISTS[2], y=LISTS[1]))
    datasets, n, p = 2048, 256, 4
    X = rng.normal(size=(datasets, n, p))
    y = X @ np.arange(1.0, p + 1) + rng.normal(size=(datasets, n))
    lengths = {"n": np.full(datasets, n), "p": np.full(datasets, p)}

    def nested(center: Any, **_: Any) -> Any:
        derivatives, f = [], jnp.tanh
        for _order in range(8):
            f = jax.grad(f)
            derivatives.append(f(center))
        return jnp.stack(derivatives)

    def normal_equations(X: Any, y: Any, **_: Any) -> Any:
        A = jnp.concatenate([jnp.ones((n, 1)), X], axis=1)
        return jax.scipy.linalg.solve(A.T @ A, A.T @ y, assume_a="pos")

    return [
        Case("f, f', f'' of √x", pointwise, ProgramKey(0, ()), {"x": x}, lambda x: (sqrt(x), first(x), second(x)), 20),
        Case("tanh to order 8", expansion, ProgramKey(top, ()), orders, nested, 5),
        Case("fits 256×4, cholesky", fits, ProgramKey(0, (("n", n), ("p", p))), {"X": X, "y": y, **lengths},
             normal_equations, 5),
    ]  # fmt: skip


def median_rate(step: Callable[[], Any], rows: int, batches: int) -> tuple[float, float]:
    """Rows a second, the median of the repeats, and their spread relative to it."""
    step()
    rates = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(batches):
            step()
        rates.append(rows * batches / (time.perf_counter() - started))
    middle = statistics.median(rates)
    return middle, (max(rates) - min(rates)) / middle


def measure(case: Case, device: Any) -> dict[str, tuple[float, float]]:
    rows = len(next(iter(case.batch.values())))
    programs = Programs(case.kernel, "float64", batch_rows=rows, limit=rows)
    with x64_context("float64"):
        peer = jax.jit(jax.vmap(lambda columns: case.peer(**columns)))
        ours = median_rate(lambda: programs.run(case.program, case.batch, rows, device), rows, case.batches)
        hand = median_rate(lambda: jax.device_get(peer(jax.device_put(case.batch, device))), rows, case.batches)
    return {"jaxbatch": ours, "hand-written": hand}


def main() -> None:
    process_setup.prepare()
    try:
        gpu = jax.devices("gpu")[0]
    except RuntimeError:
        print("not measured: JAX sees no GPU here")
        return
    cpu = jax.devices("cpu")[0]
    print(f"{gpu.device_kind}, jax {jax.__version__}, float64, host transfers included")
    print(f"{'rows/s':24}{'GPU':>14}{'spread':>8}{'GPU by hand':>14}{'CPU':>14}{'GPU/hand':>10}{'GPU/CPU':>9}")
    for case in cases():
        on_gpu, on_cpu = measure(case, gpu), measure(case, cpu)
        (rate, spread), (hand, _), (host, _) = on_gpu["jaxbatch"], on_gpu["hand-written"], on_cpu["jaxbatch"]
        print(
            f"{case.name:24}{rate:14,.0f}{spread:8.0%}{hand:14,.0f}{host:14,.0f}{rate / hand:10.2f}{rate / host:9.1f}"
        )


if __name__ == "__main__":
    main()
