"""Progress on stderr: a bar on a terminal, a plain line every ten seconds elsewhere, or JSON lines for programs.

With the progress come the log records of the run, as plain or JSON lines.
"""

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from jaxbatch import events

LINE_EVERY_S = 10.0
JSON_EVERY_S = 1.0
JSON_LATER_S = 10.0
"""After a minute."""


@contextmanager
def show_progress(quiet: bool, as_json: bool = False) -> Iterator[Callable[[Any], None]]:
    """Yield a callback that shows a run's ``Progress`` on stderr. ``as_json`` is stronger than ``quiet``."""
    if as_json:
        with _json_log():
            yield _json_lines()
    elif quiet:
        yield lambda _: None
    else:
        with _plain_log(), _bar() if sys.stderr.isatty() else _lines() as update:
            yield update


def _json_lines() -> Callable[[Any], None]:
    """A callback that prints one object per line: at most one a second, later one in ten seconds, and the last."""
    started, printed = time.monotonic(), float("-inf")

    def show(progress: Any) -> None:
        nonlocal printed
        now = time.monotonic()
        every = JSON_EVERY_S if now - started < 60 else JSON_LATER_S
        if now - printed >= every or progress.parts_done == progress.parts:
            printed = now
            click.echo(json.dumps({"progress": {"seconds": round(now - started, 3), **asdict(progress)}}), err=True)

    return show


@contextmanager
def _json_log() -> Iterator[None]:
    """Print log records and the events of the run as JSON lines."""
    handler, package = _JsonHandler(), logging.getLogger("jaxbatch")
    level = package.level
    for logger in (package, events.LOGGER):
        logger.setLevel(logging.INFO)
    package.propagate = False
    for logger in (package, events.LOGGER):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (package, events.LOGGER):
            logger.removeHandler(handler)
        package.setLevel(level)
        package.propagate = True


@contextmanager
def _plain_log() -> Iterator[None]:
    """Print log records from level INFO as plain lines. Without it Python prints the warnings only."""
    handler, package = _LineHandler(logging.INFO), logging.getLogger("jaxbatch")
    level = package.level
    package.setLevel(logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


class _LineHandler(logging.Handler):
    """Prints each record's message as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


class _JsonHandler(logging.Handler):
    """Prints each record as one JSON object per line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name in events.FIELDS if (value := getattr(record, name, "")) != ""}
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": when, "level": record.levelname.lower(), "message": record.getMessage(), **fields}
        click.echo(json.dumps({"log": entry}), err=True)


@contextmanager
def _lines() -> Iterator[Callable[[Any], None]]:
    started = time.monotonic()
    latest: deque[Any] = deque(maxlen=1)
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(LINE_EVERY_S):
            if latest:
                click.echo(_line(latest[-1], time.monotonic() - started), err=True)

    threading.Thread(target=tick, name="jaxbatch-progress", daemon=True).start()
    try:
        yield latest.append
    finally:
        ended.set()


def _line(progress: Any, seconds: float) -> str:
    rate = (progress.rows_done - progress.rows_skipped) / seconds
    left = f"{(progress.rows - progress.rows_done) / rate:,.0f} s left" if rate else "time left unknown"
    return (
        f"{progress.rows_done:,} of {progress.rows:,} rows, {rate:,.0f} rows/s, {left}, "
        f"{progress.failed_rows:,} failed rows, {progress.workers:,} workers"
    )


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
        TextColumn("{task.fields[workers]:,} workers"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=0, rate=0.0, failed=0, workers=0, visible=False)

        def update(progress: Any) -> None:
            rate = (progress.rows_done - progress.rows_skipped) / max(time.monotonic() - started, 1e-9)
            bar.update(
                task,
                total=progress.rows,
                completed=progress.rows_done,
                rate=rate,
                failed=progress.failed_rows,
                workers=progress.workers,
                visible=True,
            )

        yield update
