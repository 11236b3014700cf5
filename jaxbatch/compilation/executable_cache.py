"""Compiled programs, kept for further runs: in this process, and in a folder for others of this user on this host.

Whoever can write to that folder can run code as its owner. So it is used only where it is the user's own, closed to all
others from the start, and below folders that no other can write to. The environment variable ``JAXBATCH_CACHE`` names
another folder for it to lie in, or is ``off``.
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from filelock import FileLock
from jax.experimental import serialize_executable

from jaxbatch import __version__
from jaxbatch.compilation.instructions import startup_env

KEPT = 64
"""So many programs, those used last, are kept in a process …"""

FOLDER_BYTES = 1 << 29
"""… and so many bytes of them in the folder."""

WORTH_KEEPING_S = 0.1
"""What is lowered and compiled faster than this is compiled again."""

LOCKED_S = 600.0
"""So long a process waits for another that compiles the same program; then it compiles it for itself."""

_LAPACK = "lapack_", "hybrid_eig"
"""In the names of calls to LAPACK, those of a GPU's programs that compute eigenvalues on the host included."""

_CHOOSING = ("jax_platform", "jax_default_device")
"""So begin the settings that choose a device."""

_UNFINISHED = "tmp-"
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Executable:
    """A compiled program."""

    compiled: Any
    """A :class:`jax.stages.Compiled`."""
    calls_lapack: bool


_kept: dict[tuple[str, Any], Executable] = {}
_kept_lock = threading.Lock()


class LazyLowering:
    """A program that is lowered only where it must be, because that takes longer than to load what was kept.

    Args:
        lower: gives it as a :class:`jax.stages.Lowered`.
        digest: of what it computes; without one its lowered text is taken, in which every constant is.
        called: what else makes it what it is: how it is batched, and the shapes and names of what goes in and out.
    """

    def __init__(self, lower: Callable[[], Any], *, digest: str | None = None, called: Sequence[str] = ()):
        self._lower, self._digest, self._called = lower, digest, called

    @cached_property
    def _lowered(self) -> Any:
        return self._lower()

    @cached_property
    def _text(self) -> str:
        return self._lowered.as_text()

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from others."""
        return self._digest or self._text, *self._called

    def compile(self) -> Executable:
        """Compile it, here and now."""
        return Executable(self._lowered.compile(), any(name in self._text for name in _LAPACK))


def executable(source: LazyLowering, device: Any) -> Executable:
    """A program compiled for a device: now, or by an earlier run."""
    key = _key(source, device)
    with _kept_lock:
        found = _kept.get((key, device))
    if found is None:
        folder = _folder()
        found = source.compile() if folder is None else _from(folder, key, source, device)
    with _kept_lock:
        _kept[key, device] = _kept.pop((key, device), found)
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return found


def _key(source: LazyLowering, device: Any) -> str:
    """A digest of all that decides the machine code."""
    facts = (
        *source.identity,
        *(f"{name} {value}" for name, value in sorted(jax.config.values.items()) if not name.startswith(_CHOOSING)),
        *startup_env(),
        __version__,
        jax.__version__,
        jaxlib.__version__,
        platform.python_version(),
        device.client.platform_version,
        device.device_kind,
        str(device.id),
        _processor(),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


@cache
def _processor() -> str:
    """The processor's instruction sets, and its model where the system tells it."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
        told = ("model", "cpu family", "stepping", "flags", "Features", "CPU ")
        return "\n".join(line for line in first.splitlines() if line.startswith(told))
    return f"{platform.machine()} {platform.processor()} {platform.node()}"


@cache
def _folder() -> Path | None:
    """The folder, made where it is missing; None where there is none to trust, which is logged."""
    named = os.environ.get("JAXBATCH_CACHE", "")
    if named == "off":
        return None
    base = Path(named or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "jaxbatch"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        reason = _distrusted(folder)
    except (OSError, RuntimeError) as error:
        reason = str(error)
    if reason:
        _LOGGER.warning("Compiled programs are not cached in %s: %s.", folder, reason)
        return None
    return folder


def _distrusted(folder: Path) -> str:
    """Why others may have written into a folder, or be able to; empty where they cannot."""
    if not folder.is_absolute():
        return "its path is relative"
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return "others may have written to it; delete it, and a private one is created"
    for above in folder.resolve().parents:
        found = above.stat()
        closed = not found.st_mode & 0o022 or found.st_mode & stat.S_ISVTX
        if not closed or found.st_uid not in (0, os.getuid()):
            return f"others can write to {above} and could replace it"
    return ""


def _from(folder: Path, key: str, source: LazyLowering, device: Any) -> Executable:
    """The program of this key in the folder; compiled where it is missing, by one process at a time."""
    path = folder / key
    if (found := _read(path, device)) is not None:
        return found
    lock = FileLock(folder / f"{key[:2]}.lock", timeout=LOCKED_S)
    try:
        lock.acquire()
    except OSError as error:  # a time-out is one too
        _LOGGER.warning("A compiled program is not cached: %s", error)
        return source.compile()
    try:
        if (found := _read(path, device)) is not None:
            return found
        path.unlink(missing_ok=True)
        return _made(folder, path, source)
    finally:
        lock.release()


def _read(path: Path, device: Any) -> Executable | None:
    """The program in a file, or None where there is none, or one that is damaged or of other versions."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_CHECKSUM_BYTES:]).digest() != data[:_CHECKSUM_BYTES]:
        _LOGGER.warning("The compiled program %s is damaged: compiling it again.", path)
        return None
    try:
        payload, in_tree, out_tree, calls_lapack = pickle.loads(zlib.decompress(data[_CHECKSUM_BYTES:]))
        if calls_lapack:
            _find_lapack(device)
        compiled = serialize_executable.deserialize_and_load(
            payload, in_tree, out_tree, backend=device.client, execution_devices=[device]
        )
    except Exception as error:  # XLA raises what it likes; a program that cannot be loaded is compiled
        _LOGGER.warning("The compiled program %s cannot be loaded: compiling it again (%s).", path, error)
        return None
    with suppress(OSError):
        os.utime(path)
    return Executable(compiled, calls_lapack)


@cache
def _find_lapack(device: Any) -> None:
    """Have this process look up LAPACK's functions, as JAX does only where it lowers a call to them.

    A program that is loaded where nothing was lowered calls address 0 instead (jax-ml/jax issue 28908).
    """
    number = jax.ShapeDtypeStruct((1, 1), "float32", sharding=jax.sharding.SingleDeviceSharding(device))
    jax.jit(jnp.linalg.eigvals).lower(number)


def _made(folder: Path, path: Path, source: LazyLowering) -> Executable:
    started = time.perf_counter()
    made = source.compile()
    if time.perf_counter() - started < WORTH_KEEPING_S:
        return made
    try:
        data = zlib.compress(pickle.dumps((*serialize_executable.serialize(made.compiled), made.calls_lapack)), 1)
    except Exception as error:  # a device whose programs cannot be kept has them compiled
        _LOGGER.debug("A compiled program cannot be cached: %s", error)
        return made
    with suppress(OSError):
        _make_room(folder, len(data))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=_UNFINISHED, delete=False) as file:
            try:
                file.write(hashlib.sha256(data).digest() + data)
                file.flush()
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
    return made


def _make_room(folder: Path, missing: int) -> None:
    """Remove what was used longest ago, until so many bytes more are within the limit."""
    found = []
    for path in folder.iterdir():
        if path.suffix != ".lock":
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found) + missing
    for _, size, path in sorted(found):
        if total <= FOLDER_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= size
