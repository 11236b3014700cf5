"""Draws a run itself: its throughput over time, the seconds spent in each stage, and the shards of each worker."""

import numpy as np
from matplotlib.axes import Axes

from jaxbatch.report.charts import SERIES, Picture, bars, render
from jaxbatch.report.run_records import RunRecords

MAX_WORKERS = 24
"""The number of workers that are named: the busiest, if there are more."""


def pictures(records: RunRecords) -> list[Picture]:
    """Throughput over time, time by stage, and shards by worker."""
    report = records.report
    stages = {name: spent for name, spent in report["stages"].items() if spent >= 0.0005}
    stages = {**stages, **({"wait": report["wait"]} if report.get("wait", 0) >= 0.0005 else {})}
    workers = sorted(((w["shards"], name) for name, w in report["by_worker"].items()), reverse=True)
    found = []
    if len(report["timeline"]) > 1:
        found.append(_throughput(report["timeline"]))
    if stages:
        bound = f" The run was bound by “{report['bound_by']}”;" if report.get("bound_by") else ""
        meaning = "“queue” is time spent waiting for a core, “wait” having nothing to do."
        caption = f"Seconds, summed over all shards.{bound} {meaning}"
        found.append(bars("Time by stage", caption, "stage", "seconds", stages))
    if workers:
        plural = "s" if len(workers) > 1 else ""
        busiest = f"; the busiest {MAX_WORKERS} are shown" if len(workers) > MAX_WORKERS else ""
        caption = f"{len(workers)} worker{plural}{busiest}."
        named = {name: shards for shards, name in workers[:MAX_WORKERS]}
        found.append(bars("Shards by worker", caption, "worker", "shards", named))
    return found


def _throughput(timeline: list[list[float]]) -> Picture:
    seconds, rows = np.array(timeline, float).T
    edges = np.linspace(0, seconds[-1], min(25, len(seconds)))
    done = np.interp(edges, seconds, rows)
    rates = np.diff(done) / np.maximum(np.diff(edges), 1e-9)

    def draw(axes: Axes) -> None:
        axes.stairs(rates, edges, fill=True, color=SERIES[0])
        axes.set_xlabel("seconds since the first shard started")
        axes.set_ylabel("rows per second")

    table = [(round(float(edge), 3), round(float(rate), 1)) for edge, rate in zip(edges[1:], rates, strict=True)]
    caption = f"{rows[-1] - rows[0]:,.0f} rows in {seconds[-1]:,.1f} s."
    return Picture("Throughput over time", caption, render(draw, "throughput"), ("until second", "rows/s"), table)
