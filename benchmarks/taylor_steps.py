"""A point's time at each order against the order before it, and the MLP's at order 32 against jet's.

    python benchmarks/taylor_steps.py          # the three functions of benchmarks/taylor.py
    python benchmarks/taylor_steps.py chain    # one of them

Each order is a process of its own; they take turns, and no two work at once. A ratio is one of medians; beside it stand
the least and the largest of the rounds.
"""

import os
import sys

import jax
from _measure import bar
from taylor import FUNCTIONS, OURS, RUNS, SAMPLE_SECONDS, Cell, Child, spread

ORDERS, JET_ORDER = (4, 8, 12, 16, 24, 32, 48, 64), 32
POINTS, LIMIT = 20_000, 600.0  # of points, and in seconds


def steps(name: str) -> None:
    """Print what a point of one function costs at each order; the orders take turns after one compilation each."""
    keys = [(order, OURS) for order in ORDERS] + ([(JET_ORDER, "jet")] if name == "MLP" else [])
    children = {key: Child(key[1], name, POINTS, LIMIT) for key in keys}
    cells = {key: Cell() for key in keys}
    for key, child in children.items():
        cells[key].compiles.append(child.ask(f"compile {key[0]}", LIMIT)["wall"])
        child.ask("run 1", LIMIT)
    calls = {key: max(1, round(SAMPLE_SECONDS / child.ask("run 1", LIMIT)["wall"])) for key, child in children.items()}
    for _ in range(RUNS):
        for key, child in children.items():
            child.run(cells[key], calls[key], LIMIT)
    for child in children.values():
        child.process.kill()
        child.process.wait()
    found: list[tuple[str, float, float]] = []
    for before, (order, way) in zip((None, *keys), keys, strict=False):
        cell = cells[order, way]
        other = cells[JET_ORDER, OURS] if way == "jet" else cells[before] if before else None
        rounds = [a / b for a, b in zip(cell.walls, other.walls, strict=True)] if other else []
        nanoseconds = spread([t / POINTS * 1e9 for t in cell.walls], "")
        print(f"{name:6}{order:5}{cell.compiles[0]:11.2f}{nanoseconds:>24}{spread(rounds, ''):>22}  {way}", flush=True)
        if other and before:
            ratio = cell.seconds("run") / other.seconds("run")
            if way == "jet":
                found.append((f"{name}, order {order} / jet's", 1 / ratio, 1.0))
            else:
                found.append((f"{name}, order {order} / {before[0]}", ratio, 2 * (order / before[0]) ** 2))
    for what, ratio, most in found:
        bar(what, ratio, most)


if __name__ == "__main__":
    print(
        f"{POINTS:,} points, float64, {os.cpu_count()} CPUs, jax {jax.__version__}; medians of {RUNS} rounds (min–max)"
    )
    print(f"{'':6}{'order':>5}{'compile s':>11}{'wall ns/point':>24}{'/ order before':>22}")
    for function in [name for name in FUNCTIONS if name in sys.argv] or FUNCTIONS:
        steps(function)
