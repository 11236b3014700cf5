"""A job whose input grows from day to day."""

from pathlib import Path

import pytest

from tests import market as market_job
from tests.daily import Daily


@pytest.fixture
def daily(tmp_path: Path) -> Daily:
    return Daily(tmp_path)


@pytest.fixture
def market(bench):
    """A folder with the job of ``tests/market.py``: 200 rows of 4 files, and the table."""
    market_job.write(bench)
    return bench
