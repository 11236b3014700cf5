"""Shared by the benchmarks: whole processes run in turn, medians with their range, and bars that are met or missed."""

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
"""The job of f, f', f'' of √x; ``TASKS`` is replaced by the path of its input."""

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
    """One way to do the work: its command, the folder to remove after a run, and the measurements of its runs."""

    command: list[str]
    leaves: str | None = None
    repeats: int = 3
    variables: Mapping[str, str] = field(default_factory=dict)
    """What to add to the environment."""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """Peak MiB of the largest process, per run."""

    @property
    def seconds(self) -> float:
        """The median wall time."""
        return statistics.median(self.wall)

    def run(self, folder: Path) -> list[float]:
        """Run once; return wall seconds, CPU seconds and peak MiB."""
        command = [sys.executable, "-c", _TIMED, *self.command]
        out = subprocess.run(
            command, cwd=folder, env={**_as_installed(), **self.variables}, capture_output=True, text=True
        )
        status, *numbers = out.stdout.split()
        if status != "0":
            raise SystemExit(f"{self.command} failed:\n{out.stderr}")
        return [float(number) for number in numbers]

    def clean(self, folder: Path) -> None:
        """Remove the folder that a run wrote."""
        if self.leaves:
            shutil.rmtree(folder / self.leaves, ignore_errors=True)


def _as_installed() -> dict[str, str]:
    """The environment, with bytecode of jaxbatch's modules kept, as that of installed packages is."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def script(text: str, **words: object) -> list[str]:
    """A Python script as a command, with words filled in."""
    for word, value in words.items():
        text = text.replace(word, str(value))
    return [sys.executable, "-c", text]


def jaxbatch(*arguments: str) -> list[str]:
    """The command line of jaxbatch."""
    return [sys.executable, "-m", "jaxbatch", *arguments]


def in_turn(ways: Mapping[str, Way], folder: Path) -> None:
    """Run all ways in turn, once to warm up and then ``repeats`` times each."""
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
    """Print one table, with each way's time relative to that of ``base``."""
    print(f"\n{title}; whole processes, medians (min–max)")
    print(f"{'':36}{'wall s':>9}{'':17}{'CPU s':>8}{'MiB':>8}   × {base}")
    for name, way in ways.items():
        spread = f"({min(way.wall):.2f}–{max(way.wall):.2f})"
        print(
            f"{name:36}{way.seconds:9.2f} {spread:16}{statistics.median(way.cpu):8.2f}{max(way.memory):8,.0f}"
            f"   {way.seconds / ways[base].seconds:6.2f}"
        )


def bar(what: str, found: float, most: float) -> None:
    """Print whether ``found`` is at most ``most``."""
    print(f"{'MISSED' if found > most else 'met':8}{what}: {found:.2f}, at most {most:g}", flush=True)


def machine(packages: Iterable[str]) -> str:
    """The machine and the versions of packages that the figures were measured with."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} CPUs ({platform.machine()}), Python {platform.python_version()}, {versions}"
