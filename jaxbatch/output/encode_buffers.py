"""Memory that parts are encoded into, used again from one part to the next."""

import mmap
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class EncodeBuffer:
    """Memory for the bytes of one part at a time: fresh pages for each part would cost more than writing it does.

    It begins with a page of memory, so that a disk can take it as it is.
    """

    def __init__(self) -> None:
        self._memory = memoryview(b"")

    def __len__(self) -> int:
        return len(self._memory)

    def view(self, size: int) -> memoryview:
        """The first ``size`` bytes: the same memory as before, unless it must grow."""
        if len(self._memory) < size:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system may have none
                    memory.madvise(mmap.MADV_HUGEPAGE)
            self._memory = memoryview(memory)
        return self._memory[:size]


class BufferPool:
    """As many buffers as are in use at once, the one used last lent first. Idle ones keep ``limit`` bytes at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: deque[EncodeBuffer] = deque()

    @contextmanager
    def borrowed(self) -> Iterator[EncodeBuffer]:
        """A buffer for one part, until it is published."""
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = EncodeBuffer()
        yield buffer
        if sum(len(each) for each in (*self._idle, buffer)) <= self._limit:
            self._idle.append(buffer)
