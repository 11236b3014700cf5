"""Taylor coefficients of three functions: jaxbatch.series against nested grad, nested jvp and jax.experimental.jet.

    python benchmarks/taylor.py            # 100,000 points, orders 2 to 64
    python benchmarks/taylor.py sqrt       # one of the functions
    python benchmarks/taylor.py --quick    # few points, low orders, a short limit

Every way gives c_0 … c_order of every point from one ``jit(vmap(…))``. Each (way, function) is a process of its own;
they take turns at every order and repeat, and no two work at once. A way whose compilation and first run together take
longer than the limit is stopped there, and its higher orders are not tried.
"""

import json
import math
import os
import resource
import select
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product, zip_longest
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import jet

from jaxbatch.compilation import process_setup
from jaxbatch.series import taylor

RUNS, COMPILES = 5, 3
SAMPLE_SECONDS = 0.2  # short runs are repeated to make a sample of this length
SLOW_SECONDS = 5.0  # what takes longer is measured once
LOW_ORDER, HEAD = 4, 5  # to which order, and on how many points, the ways are compared with each other
OURS = "jaxbatch.series"

# Results of a few MB are given back to the system and faulted in again, or kept, as the allocator's state has it. That
# alone made runs of √x differ sixfold between processes. All ways keep them.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


FULL = (100_000, (2, 4, 8, 12, 16, 32, 64), 60.0)  # points, orders, limit in seconds
QUICK = (2_000, (2, 4, 8), 10.0)

RNG = np.random.default_rng(0)
W1, W2, W3 = RNG.normal(size=16), RNG.normal(size=(16, 16)) / 4, RNG.normal(size=16) / 4


def chain(x: Any) -> Any:
    for _ in range(6):
        x = jnp.tanh(x) * jnp.exp(-(x**2)) + jnp.sin(x)
    return x


def mlp(x: Any) -> Any:
    return jnp.dot(W3, jnp.tanh(jnp.dot(W2, jnp.tanh(W1 * x))))


FUNCTIONS = {"sqrt": (jnp.sqrt, 1.0, 9.0), "chain": (chain, -1.0, 1.0), "MLP": (mlp, -1.0, 1.0)}


def nested(derivative: Callable[..., Any], f: Callable[..., Any], x: Any, order: int) -> Any:
    """Each level differentiates the highest derivative so far, and hands the lower ones on."""

    def keeping(g: Callable[..., Any], x: Any) -> Any:
        highest, lower = g(x)
        return highest, (*lower, highest)

    g: Callable[..., Any] = lambda x: (f(x), ())  # noqa: E731
    for _ in range(order):
        g = derivative(partial(keeping, g))
    highest, lower = g(x)
    return jnp.stack([d / math.factorial(n) for n, d in enumerate((*lower, highest))])


def by_jet(f: Callable[..., Any], x: Any, order: int) -> Any:
    first, others = jet.jet(f, (x,), ([1.0] + [0.0] * (order - 1),), factorial_scaled=False)
    return jnp.stack([first, *others])


WAYS: dict[str, Callable[..., Any]] = {
    OURS: lambda f, x, order: taylor(f)(x, 1.0, order),
    "nested grad": partial(nested, lambda g: jax.grad(g, has_aux=True)),
    "nested jvp": partial(nested, lambda g: lambda x: jax.jvp(g, (x,), (jnp.ones_like(x),), has_aux=True)[1:]),
    "jet": by_jet,
}


def serve(way: str, name: str, points: str) -> None:
    """Serve as a child process: answer each line, "compile ORDER" or "run CALLS", with a line of JSON."""
    process_setup.prepare(platforms="cpu")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_enable_compilation_cache", False)
    function, low, high = FUNCTIONS[name]
    x = jnp.asarray(np.random.default_rng(0).uniform(low, high, int(points)))

    def compiled(function: Callable[..., Any], order: int) -> Any:
        jax.clear_caches()
        return jax.jit(jax.vmap(lambda point: WAYS[way](function, point, order))).lower(x).compile()

    program, result = compiled(jnp.sqrt, 1), x  # so that the first order does not pay for starting JAX
    for line in sys.stdin:
        request, number = line.split()
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        if request == "compile":
            program = compiled(function, int(number))
        else:
            for _ in range(int(number)):
                result = program(x).block_until_ready()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"wall": wall, "cpu": cpu, "head": result[:HEAD].tolist()}), flush=True)


@dataclass
class Cell:
    """One way at one order of one function, in seconds; ``problem`` says why something is missing."""

    compiles: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    head: list[list[float]] = field(default_factory=list)
    problem: str = ""

    def seconds(self, what: str, limit: float = math.inf) -> float:
        """The seconds of "compile", of "run", or of both; a lower bound from the limit where the time ran out."""
        compile, run = (statistics.median(times or [math.nan]) for times in (self.compiles, self.walls))
        if ">" in self.problem:
            compile, run = (limit, math.nan) if math.isnan(compile) else (compile, limit - compile)
            return {"compile": compile, "run": run}.get(what, limit)
        return {"compile": compile, "run": run}.get(what, compile + run)


class Child:
    def __init__(self, way: str, name: str, points: int, limit: float) -> None:
        command = [sys.executable, __file__, "--child", way, name, str(points)]
        self.process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True, env=os.environ | KEEP)
        self.limit = limit
        self.ask("run 1", 60.0)

    def ask(self, request: str, seconds: float) -> dict[str, Any]:
        print(request, file=self.process.stdin, flush=True)
        reader = self.process.stdout
        assert reader is not None
        if not select.select([reader], [], [], max(0.0, seconds))[0]:
            raise TimeoutError(f"> {self.limit:.0f} s")
        if not (answer := reader.readline()):
            raise EOFError("failed")
        return json.loads(answer)

    def run(self, cell: Cell, calls: int, seconds: float) -> None:
        answer = self.ask(f"run {calls}", seconds)
        cell.walls.append(answer["wall"] / calls)
        cell.cpus.append(answer["cpu"] / calls)
        cell.head = answer["head"]

    def measure(self, cell: Cell, order: int) -> Iterator[None]:
        """Fills the cell, and yields after every step so that the other ways take their turn."""
        try:
            while len(cell.compiles) < COMPILES and sum(cell.compiles) < SLOW_SECONDS:
                cell.compiles.append(self.ask(f"compile {order}", self.limit)["wall"])
            self.run(cell, 1, self.limit - cell.compiles[-1])
            yield
            if (first := cell.walls[0]) < SLOW_SECONDS:
                cell.walls, cell.cpus = [], []  # it was the warm-up
                for _ in range(RUNS):
                    self.run(cell, max(1, round(SAMPLE_SECONDS / first)), self.limit)
                    yield
        except (TimeoutError, EOFError, BrokenPipeError) as reason:
            cell.problem = str(reason)
            self.process.kill()


def measure(name: str, points: int, orders: tuple[int, ...], limit: float) -> Iterator[tuple[int, dict[str, Cell]]]:
    children = {way: Child(way, name, points, limit) for way in WAYS}
    problems = dict.fromkeys(WAYS, "")
    try:
        for order in orders:
            cells = {way: Cell(problem=problem and f"not tried ({problem})") for way, problem in problems.items()}
            turns = [children[way].measure(cells[way], order) for way in WAYS if not problems[way]]
            for _ in zip_longest(*turns):
                pass
            problems = {way: problems[way] or cells[way].problem for way in WAYS}
            yield order, cells
    finally:
        for child in children.values():
            child.process.kill()
            child.process.wait()


def spread(times: list[float], problem: str) -> str:
    if not times:
        return problem
    numbers = (statistics.median(times), min(times), max(times))
    middle, least, most = (f"{t:,.0f}" if t >= 100 else f"{t:.3g}" for t in numbers)
    return f"{middle} ({least}–{most})" if len(times) > 1 else f"{middle} (once)"


def bars(cells: dict[tuple[str, int, str], Cell], limit: float) -> Iterator[tuple[str, float, float, bool]]:
    """For each bar its name, our time over the other's, the limit, and whether the other's time is a lower bound."""
    orders, names = sorted({order for _, order, _ in cells}), dict.fromkeys(name for name, _, _ in cells)

    def against(name: str, order: int, way: str, what: str, most: float) -> tuple[str, float, float, bool]:
        ours, theirs = cells[name, order, OURS], cells[name, order, way]
        ratio = ours.seconds(what) / theirs.seconds(what, limit)
        return f"{name}, order {order}: {what} / {way}'s", ratio, most, ">" in theirs.problem

    for name in names if {4, 64} <= set(orders) else ():
        ratio = cells[name, 64, OURS].seconds("compile") / cells[name, 4, OURS].seconds("compile")
        yield f"{name}: compile, order 64 / order 4", ratio, 1.5, False
    for name, (order, way) in product(("chain", "MLP"), ((8, "nested grad"), (12, "jet"))):
        if name in names and order in orders:
            yield against(name, order, way, "compile + run", 1 / 20)
    for name in names:
        yield against(name, 2, "nested jvp", "run", 1.2)
        for order in orders:
            if order <= 12 and cells[name, order, "jet"].seconds("compile") < 10:
                yield against(name, order, "jet", "run", 1.2)


def main() -> None:
    points, orders, limit = QUICK if "--quick" in sys.argv else FULL
    print(f"{points:,} points, float64, {os.cpu_count()} CPUs, jax {jax.__version__}, limit {limit:.0f} s,")
    print(f"median of {RUNS} runs and {COMPILES} compilations (min–max), fewer where over {SLOW_SECONDS:.0f} s")
    print(f"{'':6}{'order':>5}  {'':16}{'compile s':>28}{'wall ns/point':>28}{'CPU ns/point':>28}{'wall/ours':>11}")
    cells: dict[tuple[str, int, str], Cell] = {}
    worst: dict[tuple[str, str], float] = {}
    for name in [name for name in FUNCTIONS if name in sys.argv] or FUNCTIONS:
        for order, row in measure(name, points, orders, limit):
            ours = row[OURS]
            for way, cell in row.items():
                cells[name, order, way] = cell
                runs = [[t / points * 1e9 for t in times] for times in (cell.walls, cell.cpus)]
                columns = "".join(f"{spread(times, cell.problem):>28}" for times in (cell.compiles, *runs))
                ratio = cell.seconds("run") / ours.seconds("run") if cell.walls and ours.walls else math.nan
                print(f"{name:6}{order:5}  {way:16}{columns}{ratio:11.3g}", flush=True)
                if order <= LOW_ORDER and cell.head and ours.head:
                    differences = np.abs(np.array(cell.head) / np.array(ours.head) - 1)
                    worst[name, way] = max(worst.get((name, way), 0.0), float(np.max(differences)))
    print(f"\nlargest relative difference from {OURS}, {HEAD} points, orders to {LOW_ORDER}")
    for name in dict.fromkeys(name for name, _ in worst):
        print(f"{name:6}" + ", ".join(f"{way} {worst.get((name, way), math.nan):.1e}" for way in WAYS if way != OURS))
    print(f"\nbars (< where the other took over {limit:.0f} s; open where that, or a failure, leaves it undecided)")
    for what, ratio, most, ended in bars(cells, limit):
        verdict = "met" if ratio <= most else "MISSED" if ratio == math.inf or (ratio > most and not ended) else "open"
        print(f"{verdict:8}{what:46}{'<' if ended else ' '}{ratio:7.4f}  (at most {most:g})")


if __name__ == "__main__":
    serve(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
