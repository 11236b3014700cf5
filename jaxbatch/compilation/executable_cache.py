"""Compiled programs, kept for later runs: in this process, and in a folder for this user's other processes on the host.

Whoever can write to that folder can run code as its owner. So it is used only if it belongs to the user, was closed to
all others from the start, and lies below folders that no other can write to. The environment variable
``JAXBATCH_CACHE`` names another folder for it to lie in, or is ``off``.
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
from jaxbatch.compilation import processor
from jaxbatch.compilation.instructions import startup_env

MAX_PROGRAMS = 64
"""How many programs a process keeps, the last used ones."""

FOLDER_BYTES = 1 << 29
"""How many bytes the folder holds, the last used ones."""

WORTH_KEEPING_S = 0.1
"""A program that takes less time to lower and compile is not kept in the folder."""

LOCK_TIMEOUT_S = 600.0
"""How long a process waits for another that compiles the same program, before it compiles it for itself."""

_LAPACK = "lapack_", "hybrid_eig"
"""Parts of the names of calls to LAPACK, also from a GPU's programs, which compute eigenvalues on the host."""

_DEVICE_SETTINGS = ("jax_platform", "jax_default_device")
"""How the names of JAX's settings begin that choose a device and leave the code as it is."""

_TEMPORARY = "tmp-"
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Executable:
    """A compiled program."""

    compiled: Any
    """A :class:`jax.stages.Compiled`."""
    calls_lapack: bool
    """Whether it calls LAPACK on the host."""


_kept: dict[tuple[str, Any], Executable] = {}
_kept_lock = threading.Lock()


class LazyLowering:
    """A program that is lowered only if it must be compiled: lowering takes longer than loading a compiled one.

    Args:
        lower: gives it as a :class:`jax.stages.Lowered`.
        digest: of what it computes; if None, the lowered text stands for it, which holds every constant.
        signature: how it is batched, and the shapes and names of its inputs and outputs, which the digest leaves out.
    """

    def __init__(self, lower: Callable[[], Any], *, digest: str | None = None, signature: Sequence[str] = ()):
        self._lower, self._digest, self._signature = lower, digest, signature

    @cached_property
    def _lowered(self) -> Any:
        return self._lower()

    @cached_property
    def _text(self) -> str:
        return self._lowered.as_text()

    @property
    def key_parts(self) -> tuple[str, ...]:
        """What distinguishes it from other programs."""
        return self._digest or self._text, *self._signature

    def compile(self) -> Executable:
        """Compile it now, whatever is kept."""
        return Executable(self._lowered.compile(), any(name in self._text for name in _LAPACK))


def executable(program: LazyLowering, device: Any) -> Executable:
    """A program compiled for a device: loaded if an earlier run has kept it, else compiled now."""
    key = _key(program, device)
    with _kept_lock:
        found = _kept.get((key, device))
    if found is None:
        folder = _folder()
        found = program.compile() if folder is None else _load_or_compile(folder, key, program, device)
    with _kept_lock:
        _kept[key, device] = _kept.pop((key, device), found)
        while len(_kept) > MAX_PROGRAMS:
            del _kept[next(iter(_kept))]
    return found


def _key(program: LazyLowering, device: Any) -> str:
    """A digest of all that decides the machine code."""
    settings = sorted(jax.config.values.items())
    facts = (
        *program.key_parts,
        *(f"{name} {value}" for name, value in settings if not name.startswith(_DEVICE_SETTINGS)),
        *startup_env(),
        __version__,
        jax.__version__,
        jaxlib.__version__,
        platform.python_version(),
        device.client.platform_version,
        device.device_kind,
        str(device.id),
        processor.model_and_instructions(),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


@cache
def _folder() -> Path | None:
    """The folder, created if it is missing; None if it cannot be trusted, which is logged, or is not wanted."""
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
    """Why others may have written into a folder, or may yet; empty if they cannot."""
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


def _load_or_compile(folder: Path, key: str, program: LazyLowering, device: Any) -> Executable:
    """The program of this key in the folder; if it is missing, one process compiles it and the others wait."""
    path = folder / key
    if (found := _read(path, device)) is not None:
        return found
    lock = FileLock(folder / f"{key[:2]}.lock", timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except OSError as error:  # a time-out is one too
        _LOGGER.warning("A compiled program is not cached: %s", error)
        return program.compile()
    try:
        if (found := _read(path, device)) is not None:
            return found
        path.unlink(missing_ok=True)
        return _compile_and_store(folder, path, program)
    finally:
        lock.release()


def _read(path: Path, device: Any) -> Executable | None:
    """The program in a file, or None if there is none, or one that is damaged or cannot be loaded."""
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
            _register_lapack(device)
        compiled = serialize_executable.deserialize_and_load(
            payload, in_tree, out_tree, backend=device.client, execution_devices=[device]
        )
    except Exception as error:  # XLA may raise anything
        _LOGGER.warning("The compiled program %s cannot be loaded: compiling it again (%s).", path, error)
        return None
    with suppress(OSError):
        os.utime(path)
    return Executable(compiled, calls_lapack)


@cache
def _register_lapack(device: Any) -> None:
    """Have JAX look up LAPACK's functions, which it does only when it lowers a call to them.

    A program that is loaded into a process that has lowered none calls address 0 instead (jax-ml/jax issue 28908).
    """
    number = jax.ShapeDtypeStruct((1, 1), "float32", sharding=jax.sharding.SingleDeviceSharding(device))
    jax.jit(jnp.linalg.eigvals).lower(number)


def _compile_and_store(folder: Path, path: Path, program: LazyLowering) -> Executable:
    started = time.perf_counter()
    found = program.compile()
    if time.perf_counter() - started < WORTH_KEEPING_S:
        return found
    try:
        data = zlib.compress(pickle.dumps((*serialize_executable.serialize(found.compiled), found.calls_lapack)), 1)
    except Exception as error:  # there are devices for which XLA cannot serialize
        _LOGGER.debug("A compiled program cannot be cached: %s", error)
        return found
    with suppress(OSError):
        _make_room(folder, len(data))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=_TEMPORARY, delete=False) as file:
            try:
                file.write(hashlib.sha256(data).digest() + data)
                file.flush()
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
    return found


def _make_room(folder: Path, missing: int) -> None:
    """Remove the programs used longest ago, until ``missing`` more bytes are within the limit."""
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
