"""What the commands print with: JSON on stdout, tables for people."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

import click


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what user code, Ray or a C library prints to stdout, which is for results only."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(value, default=str))


def counted(count: int, thing: str) -> str:
    """A number with its noun: ``1 file``, ``2 files``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def table(rows: Iterable[tuple[str, str]], indent: str = "  ") -> str:
    """Rows of two texts as two aligned columns."""
    pairs = list(rows)
    width = max((len(left) for left, _ in pairs), default=0)
    return "\n".join(f"{indent}{left.ljust(width)}  {right}".rstrip() for left, right in pairs)
