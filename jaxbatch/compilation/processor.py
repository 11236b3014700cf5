"""The processor of this machine: its architecture, instruction sets and model, as far as the system tells them."""

import platform
from functools import cache
from itertools import takewhile
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
"""Linux's description of each core; other systems have none."""

_MODEL = ("model name", "CPU implementer", "CPU part")
_MODEL_AND_INSTRUCTIONS = ("model", "cpu family", "stepping", "flags", "Features", "CPU ")
"""How the lines begin that name the model, and those that also name the instruction sets, on x86 and on Arm."""


def is_x86() -> bool:
    """Whether it is a 64-bit x86."""
    return platform.machine() in ("x86_64", "AMD64")


def has_avx2() -> bool:
    """Whether it is known to have AVX2 and FMA, which come together."""
    flags = next((set(line.split()) for line in _cpuinfo() if line.startswith("flags")), set())
    return is_x86() and {"avx2", "fma"} <= flags


def model() -> str:
    """Its architecture and model."""
    lines = _cpuinfo()
    if not lines:
        return platform.processor()
    found = dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(_MODEL))
    return f"{platform.machine()} {' '.join(found)}".strip()


@cache
def model_and_instructions() -> str:
    """Its model and instruction sets, a line each; where the system does not tell them, the name of the host too."""
    first_core = takewhile(bool, _cpuinfo())
    lines = [line for line in first_core if line.startswith(_MODEL_AND_INSTRUCTIONS)]
    return "\n".join(lines) or f"{platform.machine()} {platform.processor()} {platform.node()}"


def _cpuinfo() -> list[str]:
    try:
        return _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
