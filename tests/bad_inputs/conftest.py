"""One job over a folder of tasks, to which each test gives tasks that nobody should."""

from collections.abc import Callable
from typing import Any

import pytest

from jaxbatch.errors import ExitCode, InputError

JOB = """
kernel = "derivatives"
[params]
function = "jax.numpy:sin"
[input]
path = "tasks"
[output]
path = "results"
[limits]
max_failed_rows = "100%"
"""


@pytest.fixture
def refusal(bench) -> Callable[..., str]:
    """The message with which the job is refused, exit 4, before anything is written."""

    def refusal(*overrides: str, text: str = JOB, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            bench.run(text, *overrides, **options)
        assert caught.value.exit_code == ExitCode.REFUSED
        assert 2 <= len(str(caught.value).splitlines()) <= 3
        assert not (bench.folder / "results").exists()
        return str(caught.value)

    return refusal
