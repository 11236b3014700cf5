"""A job whose input grows from day to day."""

from pathlib import Path

import pytest

from tests.daily import Daily


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    return Daily(tmp_path)
