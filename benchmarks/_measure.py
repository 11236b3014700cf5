"""What the benchmarks share: whole processes in turn, medians with their spread, and bars that are met or missed."""

import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SQRT_JOB = """
kernel = "derivatives"
[params]
function = "jax.numpy:sqrt"
order = 2
[input]
path = "TASKS"
[output]
path = "ours"
"""
"""f, f', f'' of √x, of whatever is put in the place of ``TASKS``."""

_TIMED = """
import resource, subprocess, sys, time
started = time.perf_counter()
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
spent = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(ended.returncode, spent, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


@dataclass
class Way:
    """One way to do the work: a command, what it leaves to be removed, and what its runs took."""

    command: list[str]
    leaves: str | None = None
    repeats: int = 3
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """MiB of the largest process at its peak."""

    @property
    def seconds(self) -> float:
        """The median of the wall seconds."""
        return statistics.median(self.wall)

    def run(self, folder: Path) -> list[float]:
        """One run: wall seconds, CPU seconds and MiB."""
        command = [sys.executable, "-c", _TIMED, *self.command]
        out = subprocess.run(command, cwd=folder, env=_as_installed(), capture_output=True, text=True)
        status, *numbers = out.stdout.split()
        if status != "0":
            raise SystemExit(f"{self.command} failed:\n{out.stderr}")
        return [float(number) for number in numbers]

    def clean(self, folder: Path) -> None:
        """Remove what a run left."""
        if self.leaves:
            shutil.rmtree(folder / self.leaves, ignore_errors=True)


def _as_installed() -> dict[str, str]:
    """The environment, but that our modules' bytecode is kept, as that of installed packages is."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def script(text: str, **words: object) -> list[str]:
    """A Python script as a command, with words filled in."""
    for word, value in words.items():
        text = text.replace(word, str(value))
    return [sys.executable, "-c", text]


def jaxbatch(*arguments: str) -> list[str]:
    """Our command."""
    return [sys.executable, "-m", "jaxbatch", *arguments]


def in_turn(ways: Mapping[str, Way], folder: Path) -> None:
    """Run all of them one after the other, once to warm up and then as often as each wants."""
    for turn in range(1 + max(way.repeats for way in ways.values())):
        for way in ways.values():
            if turn > way.repeats:
                continue
            numbers = way.run(folder)
            way.clean(folder)
            if turn:
                for found, number in zip((way.wall, way.cpu, way.memory), numbers, strict=True):
                    found.append(number)


def show(title: str, ways: Mapping[str, Way], base: str) -> None:
    """One table, each way beside the one called ``base``."""
    print(f"\n{title}; whole processes, medians (min–max)")
    print(f"{'':36}{'wall s':>9}{'':17}{'CPU s':>8}{'MiB':>8}   × {base}")
    for name, way in ways.items():
        spread = f"({min(way.wall):.2f}–{max(way.wall):.2f})"
        print(
            f"{name:36}{way.seconds:9.2f} {spread:16}{statistics.median(way.cpu):8.2f}{max(way.memory):8,.0f}"
            f"   {way.seconds / ways[base].seconds:6.2f}"
        )


def bar(what: str, found: float, most: float) -> None:
    """Whether a bar is met."""
    print(f"{'MISSED' if found > most else 'met':8}{what}: {found:.2f}, at most {most:g}", flush=True)


def machine(packages: Iterable[str]) -> str:
    """What the figures were measured on."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} CPUs ({platform.machine()}), Python {platform.python_version()}, {versions}"
