"""Compiled programs, kept for further runs: in this process, and in a folder for others of this user on this host.

Whoever can write to that folder can run code as its owner. So it is used only where it is the user's own and closed to
all others, and it never lies in an output. The environment variable ``JAXBATCH_CACHE`` names another, or is ``off``.
"""

import hashlib
import logging
import os
import pickle
import platform
import stat
import tempfile
import threading
import time
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import jaxlib
from filelock import FileLock
from jax.experimental import serialize_executable

KEPT = 64
"""So many programs, those used last, are kept in a process …"""

FOLDER_BYTES = 1 << 29
"""… and so many bytes of them in the folder."""

WORTH_KEEPING_S = 0.1
"""What compiles faster than this is compiled again."""

_CHECKSUM_BYTES = hashlib.sha256().digest_size
_LOGGER = logging.getLogger(__name__)

_kept: dict[tuple[str, Any], Any] = {}
_kept_lock = threading.Lock()


def executable(lowered: Any, text: str, device: Any) -> Any:
    """A lowered program compiled for a device: now, or by an earlier run.

    Args:
        lowered: a :class:`jax.stages.Lowered`.
        text: its text, in which every constant is.
        device: the one that it will run on.
    """
    key = _key(lowered, text, device)
    with _kept_lock:
        found = _kept.get((key, device))
    if found is None:
        folder = _folder()
        found = lowered.compile() if folder is None else _from(folder, key, lowered, device)
    with _kept_lock:
        _kept[key, device] = _kept.pop((key, device), found)
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return found


def _key(lowered: Any, text: str, device: Any) -> str:
    """A digest of all that decides the machine code; the text has neither names of columns nor compiler options."""
    facts = (
        text,
        str(lowered.in_tree),
        str(lowered.out_tree),
        os.environ.get("XLA_FLAGS", ""),
        os.environ.get("NPROC", ""),
        jaxlib.__version__,
        device.client.platform_version,
        device.device_kind,
        str(device.id),
        _processor(),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


@cache
def _processor() -> str:
    """The processor's model and instruction sets, where the system tells them."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
        return "\n".join(line for line in first.splitlines() if line.startswith(("model name", "flags", "Features")))
    return f"{platform.machine()} {platform.processor()} {platform.node()}"


@cache
def _folder() -> Path | None:
    """The folder, made where it is missing; None where there is none to trust, which is logged."""
    named = os.environ.get("JAXBATCH_CACHE", "")
    if named == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(named or Path(base) / "jaxbatch")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        reason = "" if mine else "it is not a folder that is yours alone (chmod 700)"
    except (OSError, RuntimeError) as error:
        reason = str(error)
    if reason:
        _LOGGER.warning("Compiled programs are not kept in %s: %s.", folder, reason)
        return None
    return folder


def _from(folder: Path, key: str, lowered: Any, device: Any) -> Any:
    """The program of this key in the folder; compiled where it is missing, by one process at a time."""
    path = folder / key
    with suppress(OSError):
        if (found := _read(path, device)) is not None:
            return found
        with FileLock(path.with_suffix(".lock")):
            return _read(path, device) or _made(folder, path, lowered)
    return lowered.compile()


def _read(path: Path, device: Any) -> Any:
    """The program in a file, or None where there is none, or one that is damaged or of other versions."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(data[_CHECKSUM_BYTES:]).digest() == data[:_CHECKSUM_BYTES]:
        try:
            payload, in_tree, out_tree = pickle.loads(zlib.decompress(data[_CHECKSUM_BYTES:]))
            found = serialize_executable.deserialize_and_load(
                payload, in_tree, out_tree, backend=device.client, execution_devices=[device]
            )
        except Exception as error:  # XLA raises what it likes; a program that cannot be loaded is compiled
            _LOGGER.warning("The compiled program %s cannot be loaded, and is made anew: %s", path, error)
        else:
            os.utime(path)
            return found
    path.unlink(missing_ok=True)
    return None


def _made(folder: Path, path: Path, lowered: Any) -> Any:
    started = time.perf_counter()
    made = lowered.compile()
    if time.perf_counter() - started < WORTH_KEEPING_S:
        return made
    try:
        data = zlib.compress(pickle.dumps(serialize_executable.serialize(made)), 1)
    except Exception as error:  # a device whose programs cannot be kept has them compiled
        _LOGGER.info("A compiled program cannot be kept: %s", error)
        return made
    with suppress(OSError):
        _make_room(folder, len(data))
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(file.name, path)
    return made


def _make_room(folder: Path, missing: int) -> None:
    """Remove what was used longest ago, until so many bytes more are within the limit."""
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found) + missing
    for _, size, path in sorted(found):
        if total <= FOLDER_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= size
