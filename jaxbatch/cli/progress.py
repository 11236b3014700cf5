"""Progress on stderr: a bar on a terminal, a plain line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

LINE_EVERY_S = 10.0


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[Any], None]]:
    """A callback that shows a run's ``Progress``."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _lines()


def _lines() -> Callable[[Any], None]:
    started = last = time.monotonic()

    def update(progress: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY_S:
            return
        last = now
        rate = (progress.rows_done - progress.rows_skipped) / (now - started)
        left = (progress.rows - progress.rows_done) / rate if rate else float("inf")
        click.echo(
            f"{progress.rows_done:,} of {progress.rows:,} rows, {rate:,.0f} rows/s, {left:,.0f} s left, "
            f"{progress.failed_rows:,} failed rows",
            err=True,
        )

    return update


@contextmanager
def _bar() -> Iterator[Callable[[Any], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]:,} failed rows"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate=0.0, failed=0, start=True)

        def update(progress: Any) -> None:
            rate = (progress.rows_done - progress.rows_skipped) / max(time.monotonic() - started, 1e-9)
            bar.update(
                task,
                total=progress.rows,
                completed=progress.rows_done,
                rate=rate,
                failed=progress.failed_rows,
            )

        yield update
