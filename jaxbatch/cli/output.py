"""What every command prints with: JSON to stdout, tables for people."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(value, default=str))


def table(rows: Iterable[tuple[str, str]], indent: str = "  ") -> str:
    """Two aligned columns."""
    pairs = list(rows)
    width = max((len(left) for left, _ in pairs), default=0)
    return "\n".join(f"{indent}{left.ljust(width)}  {right}".rstrip() for left, right in pairs)
