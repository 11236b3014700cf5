"""Reads the lines that a submitted job prints, which ``--progress json`` and ``--json`` make JSON objects."""

import json
from typing import Any

_PROGRESS = {"seconds", "rows", "rows_done", "rows_skipped", "failed_rows", "parts", "parts_done", "workers"}


def parse_progress(line: str) -> dict[str, Any] | None:
    """The progress that a line reports, or None if it reports none."""
    found = parse_object(line).get("progress")
    return found if isinstance(found, dict) and found.keys() == _PROGRESS else None


def parse_log(line: str) -> str | None:
    """The message that a line's log record has for a person, or None if the line is no log record.

    The message is "" for an event of the run, because the end of the run reports what came of it.
    """
    found = parse_object(line).get("log")
    if not (isinstance(found, dict) and {"level", "message"} <= found.keys()):
        return None
    return "" if "run" in found else str(found["message"])


def parse_object(line: str) -> dict[str, Any]:
    """The JSON object in a line, or an empty one if the line is anything else."""
    try:
        found = json.loads(line) if line.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
