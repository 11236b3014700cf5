"""Which device workers have, asked of a cluster's nodes, since JAX may not find what Ray counts."""

import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jaxbatch.cluster.connection import last_line
from jaxbatch.cluster.resources import Resources
from jaxbatch.compilation import devices, process_setup
from jaxbatch.compilation.devices import Device, NoDevice
from jaxbatch.errors import ClusterError

WAIT_WARNING_S = 30.0
"""Seconds without any worker after which a warning says that the run still waits."""


def device_missing_error(error: NoDevice, platform: str) -> NoDevice:
    """The error of a process to which Ray gave a device that JAX does not find, naming device and node."""
    context = ray.get_runtime_context()
    given = sorted(context.get_accelerator_ids().get(platform.upper(), []))
    if not given:
        named = error
    else:
        devices_given = f"{platform.upper()}{'s' * (len(given) > 1)} {', '.join(given)}"
        named = NoDevice(
            f"Ray gave this worker {devices_given} of {socket.gethostname()}, but JAX finds none: "
            f"install {devices.INSTALLED_BY[platform]} there and check the driver.",
            'Or use the CPU: device = "cpu" in [compute].',
        )
    named.node = context.get_node_id()
    return named


def device_here(platform: str) -> Device | NoDevice:
    """The device that JAX finds in this process, or the error if it finds none."""
    process_setup.prepare()
    try:
        return devices.described(devices.local(platform)[0])
    except NoDevice as error:
        return device_missing_error(error, platform)


def probe_device(
    platform: str, needs: Resources, options: Mapping[str, Any], waiting: Callable[[], None]
) -> tuple[Device, list[NoDevice]]:
    """The device of the first node that has one, and the errors of the nodes that were asked before it.

    Waits for a node with a place for a worker; ``waiting`` is called every PATIENCE_S meanwhile.

    Args:
        platform: of the device.
        needs: what a worker needs.
        options: those with which Ray starts a worker.
        waiting: warns that no node has a place yet.

    Raises:
        NoDevice: JAX finds a device on no node.
        ClusterError: the nodes cannot be asked.
    """
    remote: Any = ray.remote(max_calls=1, **options)(device_here)  # the process ends, which frees the device
    asked: dict[Any, str] = {remote.remote(platform): ""}
    without: dict[str, NoDevice] = {}
    try:
        while asked:
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=WAIT_WARNING_S)
            if not ready:
                waiting()
            for reference in ready:
                node = asked.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.RayError as error:
                    if node and not isinstance(error, ray.exceptions.RayTaskError):
                        continue  # the node has gone meanwhile
                    raise ClusterError(f"No worker can start: {last_line(error)}", "Try again later.") from error
                if isinstance(answer, Device):
                    return answer, list(without.values())
                without[answer.node] = answer
            if without:
                for node in nodes(needs, but={*without, *asked.values()}):
                    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
                    asked[remote.options(scheduling_strategy=strategy).remote(platform)] = node
    finally:
        for reference in asked:
            ray.cancel(reference, force=True)
    first, *others = without.values()
    raise NoDevice(
        f"{first.what} {len(others)} other nodes have the same problem." if others else first.what, first.remedy
    )


def nodes(needs: Resources, *, but: Collection[str] = ()) -> list[str]:
    """The ids of the living nodes that are large enough for a worker, except those in ``but``."""
    return [
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in but and needs.places(node["Resources"]) >= 1
    ]
