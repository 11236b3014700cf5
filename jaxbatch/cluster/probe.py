"""Which device workers have, asked of the nodes of a cluster: what Ray counts JAX may not find."""

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

PATIENCE_S = 30.0
"""So long a worker that has no place yet is waited for without a word."""


def missing(error: NoDevice, platform: str) -> NoDevice:
    """Why a process to which Ray gave a device cannot be a worker, by the names of device and node."""
    context = ray.get_runtime_context()
    given = sorted(context.get_accelerator_ids().get(platform.upper(), []))
    if not given:
        told = error
    else:
        named = f"{platform.upper()}{'s' * (len(given) > 1)} {', '.join(given)}"
        told = NoDevice(
            f"Ray gave this worker {named} of {socket.gethostname()}, but JAX finds none: "
            f"install {devices.INSTALLED_BY[platform]} there and check the driver.",
            'Or use the CPU: device = "cpu" in [compute].',
        )
    told.node = context.get_node_id()
    return told


def device_here(platform: str) -> Device | NoDevice:
    """The device that a worker has where this runs."""
    process_setup.prepare()
    try:
        return devices.described(devices.local(platform)[0])
    except NoDevice as error:
        return missing(error, platform)


def ask(
    platform: str, needs: Resources, options: Mapping[str, Any], waiting: Callable[[], None]
) -> tuple[Device, list[NoDevice]]:
    """The device of the first node that has one, and what others say that were asked before and have none.

    A node that is not there yet is waited for; ``waiting`` is called now and then meanwhile.

    Args:
        platform: of the device.
        needs: what a worker needs.
        options: with which Ray starts one.
        waiting: says that no node has a place.

    Raises:
        NoDevice: no node has one where JAX finds it.
        ClusterError: the nodes cannot be asked.
    """
    remote: Any = ray.remote(max_calls=1, **options)(device_here)  # the process ends, and gives back the device
    asked: dict[Any, str] = {remote.remote(platform): ""}
    without: dict[str, NoDevice] = {}
    try:
        while asked:
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=PATIENCE_S)
            if not ready:
                waiting()
            for reference in ready:
                node = asked.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.RayError as error:
                    if node and not isinstance(error, ray.exceptions.RayTaskError):
                        continue  # it has gone meanwhile
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
    """The ids of the nodes that are large enough for a worker, but some."""
    return [
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in but and needs.places(node["Resources"]) >= 1
    ]
