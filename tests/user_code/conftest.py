"""Files of a user's, and what their functions give."""

import os
from pathlib import Path

import pytest

from jaxbatch.kernels.functions import resolve


@pytest.fixture
def write(tmp_path: Path):
    """Write files, whose time of change never tells anything: editors and copies may keep it."""

    def write(**texts: str) -> None:
        for name, text in texts.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            os.utime(path, (1_700_000_000, 1_700_000_000))

    return write


def value(reference: str, folder: Path, x: float = 1.0) -> float:
    """What a function gives for a number."""
    return resolve(reference, folder)(x)
