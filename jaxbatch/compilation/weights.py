"""Weights: large arrays that a function closes over, which are arguments of its compiled programs.

An array is digested once for the run's identity and put on each device once, for all programs of a process.
"""

import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from blake3 import blake3

from jaxbatch.large_constants import is_large

_on_devices = WeakValueDictionary[tuple[str, Any], jax.Array]()
"""By digest and device: the arrays that programs of this process have on devices."""

_putting = threading.Lock()


class Weight:
    """An array by its contents.

    Args:
        array: NumPy's or JAX's.
        digest: of its dtype, shape and values.
    """

    def __init__(self, array: Any, digest: str):
        self.array, self.digest = array, digest
        self.bytes = array.size * array.dtype.itemsize
        self._on_devices: dict[Any, jax.Array] = {}

    def __str__(self) -> str:
        return f"weight {_type(self.array)}"

    def struct(self, sharding: Any = None) -> jax.ShapeDtypeStruct:
        """Its shape and dtype, as an argument of a program."""
        return jax.ShapeDtypeStruct(self.array.shape, self.array.dtype, sharding=sharding)

    def on(self, device: Any) -> jax.Array:
        """The array on a device, where the first call puts it; not copied if it is there and cannot change."""
        with _putting:
            found = _on_devices.get((self.digest, device))
            if found is None:
                found = jax.block_until_ready(_put(self.array, device))
            self._on_devices[device] = _on_devices[self.digest, device] = found
            return found


def _put(array: Any, device: Any) -> jax.Array:
    found = jax.device_put(array, device)
    changeable = isinstance(array, np.ndarray) and array.flags.writeable
    if changeable and device.platform == "cpu" and found.unsafe_buffer_pointer() == array.ctypes.data:
        return jnp.copy(found)  # JAX has taken NumPy's memory as it is
    return found


class Weights:
    """The weights of one run's programs, known by the arrays in which they were met, so that each is digested once."""

    def __init__(self) -> None:
        self._fixed: dict[Any, Weight] = {}
        self._changeable: dict[Any, Weight] = {}
        self._by_digest: dict[str, Weight] = {}

    def in_place_of(self, constants: Sequence[Any]) -> list[Any]:
        """A program's constants, with a :class:`Weight` for each large array; arrays of equal contents have one."""
        return [self._weight(each) if is_large(each) else each for each in constants]

    def forget_changeable(self) -> None:
        """Digest NumPy's arrays anew when they are met again: unlike JAX's they can have changed."""
        self._changeable.clear()

    def _weight(self, array: Any) -> Weight:
        known = self._fixed if isinstance(array, jax.Array) else self._changeable
        if (key := _place(array)) in known:
            return known[key]
        made = Weight(array, _digest(array))
        weight = self._by_digest.setdefault(made.digest, made)
        if _place(weight.array) == key:  # it keeps the array, so nothing else can be there
            known[key] = weight
        return weight


def _place(array: Any) -> Any:
    """What tells an array from all others beside it: the object of JAX's, or the view of memory of NumPy's."""
    return id(array) if isinstance(array, jax.Array) else (array.ctypes.data, array.strides, _type(array))


def _type(array: Any) -> str:
    return f"{array.dtype}{array.shape}"


def _digest(array: Any) -> str:
    return blake3(_type(array).encode()).update(contents(array)).hexdigest()


def contents(array: Any) -> memoryview:
    """The bytes of an array; a copy only if they are on another device or out of order."""
    if isinstance(array, jax.Array) and len(array.sharding.device_set) == 1:
        array = array.addressable_data(0)  # else JAX would keep the copy as long as the array
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
