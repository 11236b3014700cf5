"""The devices that compute: those of a platform in this process, and what of them belongs to a run's identity."""

import importlib.metadata
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
from jax._src import xla_bridge  # what JAX could start has no public name
from jax.extend.backend import clear_backends, get_default_device

from jaxbatch import user_code
from jaxbatch.compilation import instructions
from jaxbatch.errors import JobError, printable

_LOG = logging.getLogger(__name__)

_SOFTWARE = {"gpu": re.compile(r"jax-(cuda|rocm)\d*-(plugin|pjrt)"), "tpu": re.compile(r"libtpu(-nightly)?")}
"""The distributions that drive the devices of a platform; a CPU's is jaxlib, whose version counts for all."""

INSTALLED_BY = {"gpu": "jaxbatch[cuda]", "tpu": "jax[tpu]"}
"""What brings them."""

KEYS = ("device", "accelerator")
"""What an identity has of the device that computes: the second of what is no CPU."""


class NoDevice(JobError):
    """JAX finds no device of the platform that is to compute."""

    node = ""
    """Of a Ray cluster: its id, where the device is missing there."""


@dataclass(frozen=True)
class Device:
    """What computes: JAX's platform and kind of it, and the versions of the software that drives it."""

    kind: str = "cpu"
    platform: str = "cpu"
    software: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What of it belongs to a run's identity, under the KEYS."""
        return {"device": self.kind, **({"accelerator": dict(self.software)} if self.software else {})}


def local(platform: str | None = None) -> Sequence[Any]:
    """This process's devices of a platform, or of the one that JAX prefers: never others instead.

    Raises:
        NoDevice: JAX finds none.
    """
    named = (platform or "").upper()
    try:
        found = jax.local_devices(backend=platform)
    except (RuntimeError, AssertionError) as error:  # the second where JAX_PLATFORMS names what is not there
        if platform is None:
            raise NoDevice(
                f"JAX cannot start: {printable(error) or _nothing_of_platforms()}.",
                'Fix that, or set device = "cpu" in [compute].',
            ) from error
        raise NoDevice(f"JAX finds no {named} on this machine.", _remedy(platform)) from error
    if platform is not None and found[0].platform != platform:
        raise NoDevice(
            f"The job needs a {named}, but JAX finds a {found[0].platform} on this machine.", _remedy(platform)
        )
    return found


def _nothing_of_platforms() -> str:
    return f"this machine has none of JAX_PLATFORMS = {confined_to()}"


def _remedy(platform: str) -> str:
    if platform == "cpu":
        return "Add cpu to JAX_PLATFORMS, which does not list it."
    return f'Install {INSTALLED_BY[platform]}, check its driver and JAX_PLATFORMS, or set device = "cpu" in [compute].'


def confined_to() -> str | None:
    """The platforms with which JAX may start in this process, if its user has said so."""
    return jax.config.values["jax_platforms"] or None


def described(device: Any) -> Device:
    """What a device of this process is."""
    if device.platform == "cpu":
        return Device(device.device_kind)
    version = {"platform": " ".join(device.client.platform_version.split())}
    return Device(device.device_kind, device.platform, {**version, **_drivers(device.platform)})


def _drivers(platform: str) -> dict[str, str]:
    """The versions of the distributions that drive a platform's devices."""
    pattern = _SOFTWARE.get(platform)
    if pattern is None:
        return {}
    versions = {
        re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower(): each.version
        for each in importlib.metadata.distributions()
    }
    return {name: version for name, version in sorted(versions.items()) if pattern.fullmatch(name)}


def tell_taken(device: Device) -> None:
    """Say that an accelerator computes, of which the job says nothing."""
    if device.platform != "cpu":
        _LOG.info('Using the %s. To use the CPU, set device = "cpu" in [compute].', device.kind)


@contextmanager
def computing_on(platform: str | None) -> Iterator[None]:
    """Have JAX use the devices of a platform by default, as long as a run lasts; of none given, those it prefers.

    Where that is the CPU, and JAX has not started, nothing else is started, and no memory of a GPU taken. Afterwards
    all is as it was: JAX is stopped again where it could have started more.

    Raises:
        NoDevice: JAX finds none.
    """
    if platform == "cpu" and (_confined.runs or not instructions.started()):
        with _starting_with_cpus():
            yield
    elif platform is None or _is_preferred(wanted := local(platform)):
        yield
    else:
        before = jax.config.values["jax_default_device"]
        jax.config.update("jax_default_device", wanted[0])  # for all threads, as a context would not be
        try:
            yield
        finally:
            jax.config.update("jax_default_device", before)


def _is_preferred(found: Sequence[Any]) -> bool:
    return get_default_device() in found


class _Confined:
    """How many runs have confined JAX to the CPU at once, and to what it was confined before the first."""

    def __init__(self) -> None:
        self.lock, self.runs, self.before = threading.Lock(), 0, None


_confined = _Confined()


@contextmanager
def _starting_with_cpus() -> Iterator[None]:
    """Have JAX start with the CPU alone, if it does, until the last of several runs has ended."""
    with _confined.lock:
        if not _confined.runs:
            _confined.before = jax.config.values["jax_platforms"]
            jax.config.update("jax_platforms", "cpu")  # the variable is read when JAX is imported, and no more
        _confined.runs += 1
    try:
        yield
    finally:
        with _confined.lock:
            _confined.runs -= 1
            if not _confined.runs:
                _let_go(_confined.before)


def _let_go(platforms: str | None) -> None:
    jax.config.update("jax_platforms", platforms)
    if instructions.started() and _others(platforms):
        instructions.startup_env()  # noted, as XLA keeps its flags
        clear_backends()
        user_code.forget()
        instructions.forget_cpus()


def _others(platforms: str | None) -> bool:
    """Whether JAX could start something beside the CPU. Of TPUs it says so by itself in ``jax_platforms``."""
    if platforms:
        return platforms != "cpu"
    return not xla_bridge._backend_factories.keys() <= {"cpu", "tpu"}
