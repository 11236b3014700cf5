"""The devices that compute: those of a platform in this process, and their part of a run's identity."""

import importlib.metadata
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxbatch import user_code
from jaxbatch.compilation import instructions
from jaxbatch.compilation.before_jax import accelerators
from jaxbatch.errors import JobError, printable

_LOG = logging.getLogger(__name__)

_SOFTWARE = {"gpu": re.compile(r"jax-(cuda|rocm)\d*-(plugin|pjrt)"), "tpu": re.compile(r"libtpu(-nightly)?")}
"""The names of the distributions that drive the devices of a platform. A CPU's is jaxlib, which every identity has."""

INSTALLED_BY = {"gpu": "jaxbatch[cuda]", "tpu": "jax[tpu]"}
"""What to install for them."""

KEYS = ("device", "accelerator")
"""The device's entries of an identity; the second only if it is not a CPU."""


class NoDevice(JobError):
    """JAX finds no device of the wanted platform."""

    node = ""
    """The id of the node of a Ray cluster that lacks the device."""


@dataclass(frozen=True)
class Device:
    """A device as an identity knows it: its kind and platform in JAX, and the versions of the software driving it."""

    kind: str = "cpu"
    platform: str = "cpu"
    software: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Its entries of a run's identity, under KEYS."""
        return {"device": self.kind, **({"accelerator": dict(self.software)} if self.software else {})}


def described_here(platform: str | None = None) -> Device:
    """The first of this process's devices of ``platform``, or if that is None of the one that JAX prefers.

    JAX is not imported where there can be nothing but CPUs.

    Raises:
        NoDevice: JAX finds none.
    """
    if platform in (None, "cpu") and accelerators.only_cpus():
        return Device()
    return described(local(platform)[0])


def local(platform: str | None = None) -> Sequence[Any]:
    """This process's devices of ``platform``, or if that is None of the one that JAX prefers.

    Raises:
        NoDevice: JAX finds none. Devices of another platform are never given instead.
    """
    import jax

    named = (platform or "").upper()
    try:
        found = jax.local_devices(backend=platform)
    except (RuntimeError, AssertionError) as error:  # the second where JAX_PLATFORMS names what is not there
        if platform is None:
            raise NoDevice(
                f"JAX cannot start: {printable(error) or _no_platform()}.",
                'Fix that, or set device = "cpu" in [compute].',
            ) from error
        raise NoDevice(f"JAX finds no {named} on this machine.", _remedy(platform)) from error
    if platform is not None and found[0].platform != platform:
        raise NoDevice(
            f"The job needs a {named}, but JAX finds a {found[0].platform} on this machine.", _remedy(platform)
        )
    return found


def _no_platform() -> str:
    return f"this machine has none of JAX_PLATFORMS = {confined_to()}"


def _remedy(platform: str) -> str:
    if platform == "cpu":
        return "Add cpu to JAX_PLATFORMS, which does not list it."
    return f'Install {INSTALLED_BY[platform]}, check its driver and JAX_PLATFORMS, or set device = "cpu" in [compute].'


def confined_to() -> str | None:
    """The platforms that JAX may start in this process, if JAX_PLATFORMS or a setting limits them."""
    import jax

    return jax.config.values["jax_platforms"] or None


def described(device: Any) -> Device:
    """A device of this process as an identity knows it."""
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


def log_chosen_device(device: Device) -> None:
    """Log that an accelerator computes, for a job that names no device."""
    if device.platform != "cpu":
        _LOG.info('Using the %s. To use the CPU, set device = "cpu" in [compute].', device.kind)


@contextmanager
def computing_on(platform: str | None) -> Iterator[None]:
    """Make a platform's devices JAX's default ones while a run lasts; if None is given, those that JAX prefers.

    For the CPU, if JAX has not started, it starts with that alone and takes no memory of a GPU. Afterwards everything
    is as it was: JAX is stopped again if it would have started other devices too.

    Raises:
        NoDevice: JAX finds no device of the platform.
    """
    if platform in (None, "cpu") and accelerators.only_cpus():
        yield
        return
    import jax

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
    from jax.extend.backend import get_default_device

    return get_default_device() in found


class _Confined:
    """How many runs confine JAX to the CPU at this moment, and the setting before the first of them."""

    def __init__(self) -> None:
        self.lock, self.runs, self.before = threading.Lock(), 0, None


_confined = _Confined()


@contextmanager
def _starting_with_cpus() -> Iterator[None]:
    """If JAX starts meanwhile, have it start with the CPU alone; until the last of several runs has ended."""
    import jax

    with _confined.lock:
        if not _confined.runs:
            _confined.before = jax.config.values["jax_platforms"]
            jax.config.update("jax_platforms", "cpu")  # JAX reads the variable only when it is imported
        _confined.runs += 1
    try:
        yield
    finally:
        with _confined.lock:
            _confined.runs -= 1
            if not _confined.runs:
                _unconfine(_confined.before)


def _unconfine(platforms: str | None) -> None:
    import jax
    from jax.extend.backend import clear_backends

    jax.config.update("jax_platforms", platforms)
    if instructions.started() and _others(platforms):
        instructions.startup_env()  # which remembers the flags, since XLA keeps them
        clear_backends()
        user_code.forget()
        instructions.forget_cpus()


def _others(platforms: str | None) -> bool:
    """Whether JAX could start devices other than CPUs. Where there are TPUs it sets ``jax_platforms`` by itself."""
    from jax._src import xla_bridge  # what JAX could start has no public name

    if platforms:
        return platforms != "cpu"
    return not xla_bridge._backend_factories.keys() <= {"cpu", "tpu"}
