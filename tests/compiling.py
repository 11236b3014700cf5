"""Ways to compile in tests whose subject is not how XLA compiles. Compiling is what takes most of their time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from jaxbatch.compilation import programs
from jaxbatch.compilation.executable_cache import LazyLowering

BY_OLDER_EMITTERS: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
"""Two thirds of the time for double-double arithmetic. Products and sums are contracted as they are by default."""

UNOPTIMIZED: dict[str, Any] = {**BY_OLDER_EMITTERS, "xla_backend_optimization_level": 0}
"""A quarter of the time. Nothing is contracted: not for tests that a compiler takes no digit from exact arithmetic."""


class _Lowered(NamedTuple):
    """A lowered program that is compiled with some options."""

    lowered: Any
    options: dict[str, Any]

    def as_text(self) -> str:
        return self.lowered.as_text()

    def compile(self) -> Any:
        return self.lowered.compile(self.options)


def compile_programs(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """Have this process compile the programs of jobs with options of XLA's, kept apart from those without."""

    def with_options(lower: Callable[[], Any], *, digest: str | None, signature: Sequence[str]) -> LazyLowering:
        return LazyLowering(
            lambda: _Lowered(lower(), options), digest=digest, signature=(*signature, f"compiled with {options}")
        )

    monkeypatch.setattr(programs, "LazyLowering", with_options)
