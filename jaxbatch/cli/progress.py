"""Progress on stderr: a bar on a terminal, a plain line every ten seconds elsewhere, or JSON for programs, with
the log."""

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

_KEYS = {"seconds", "rows", "rows_done", "rows_skipped", "failed_rows", "parts", "parts_done", "workers"}


@contextmanager
def shown(quiet: bool, as_json: bool = False) -> Iterator[Callable[[Any], None]]:
    """A callback that shows a run's ``Progress``."""
    if as_json:
        with _json_log():
            yield _json_lines()
    elif quiet:
        yield lambda _: None
    else:
        with _plain_log(), _bar() if sys.stderr.isatty() else _lines() as update:
            yield update


def _json_lines() -> Callable[[Any], None]:
    """One object a line, at most one a second, and the last."""
    started, told = time.monotonic(), [float("-inf")]

    def tell(progress: Any) -> None:
        now = time.monotonic()
        every = JSON_EVERY_S if now - started < 60 else JSON_LATER_S
        if now - told[0] >= every or progress.parts_done == progress.parts:
            told[0] = now
            click.echo(json.dumps({"progress": {"seconds": round(now - started, 3), **asdict(progress)}}), err=True)

    return tell


@contextmanager
def _json_log() -> Iterator[None]:
    """Log records as JSON lines, and with them the events of the run."""
    handler, ours = _JsonHandler(), logging.getLogger("jaxbatch")
    level = ours.level
    for logger in (ours, events.LOGGER):
        logger.setLevel(logging.INFO)
    ours.propagate = False
    for logger in (ours, events.LOGGER):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (ours, events.LOGGER):
            logger.removeHandler(handler)
        ours.setLevel(level)
        ours.propagate = True


@contextmanager
def _plain_log() -> Iterator[None]:
    """What a person is told beside the progress, as lines; without this only warnings are."""
    handler, ours = _LineHandler(logging.INFO), logging.getLogger("jaxbatch")
    level = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


class _LineHandler(logging.Handler):
    """Writes each record's message as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


class _JsonHandler(logging.Handler):
    """Writes each record as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        told = {name: value for name in events.FIELDS if (value := getattr(record, name, "")) != ""}
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": when, "level": record.levelname.lower(), "message": record.getMessage(), **told}
        click.echo(json.dumps({"log": said}), err=True)


def parse_progress(line: str) -> "dict[str, Any] | None":
    """What a line of such JSON says, None for any other line."""
    said = as_json(line).get("progress")
    return said if isinstance(said, dict) and said.keys() == _KEYS else None


def warned(line: str) -> str | None:
    """What a line of such JSON says to a person: the message of a log record, "" for one of an event, of which the
    end of the run tells; None for any other line."""
    said = as_json(line).get("log")
    if not (isinstance(said, dict) and {"level", "message"} <= said.keys()):
        return None
    return "" if "run" in said else str(said["message"])


def as_json(line: str) -> dict[str, Any]:
    """The JSON object that a line is, an empty one for any other line."""
    try:
        said = json.loads(line) if line.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


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
