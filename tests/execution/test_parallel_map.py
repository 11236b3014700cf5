"""The pieces of one part on several threads: results in their order, each piece once, and no thread left behind."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxbatch.execution.compute_slots import ComputeSlots
from jaxbatch.execution.parallel_map import parallel_map


@given(st.lists(st.integers()), st.integers(1, 5))
def test_every_piece_once_and_in_order(pieces, count):
    taken = []

    def work(piece: int) -> int:
        taken.append(piece)
        return -piece

    slots = ComputeSlots(count)
    with slots.acquire("part"):
        assert parallel_map(work, pieces, lambda: slots.try_acquire("part")) == [-piece for piece in pieces]
    assert sorted(taken) == sorted(pieces)


@pytest.mark.parametrize("count", [2, 3])
def test_as_many_threads_at_once_as_there_are_slots(count):
    slots, together = ComputeSlots(count), threading.Barrier(count)
    with slots.acquire("part"):
        assert (
            len(parallel_map(lambda _: together.wait(60), range(2 * count), lambda: slots.try_acquire("part")))
            == 2 * count
        )


def test_another_part_that_waits_comes_before_further_pieces():
    slots, has_a_slot, ended = ComputeSlots(2), threading.Event(), threading.Event()
    helped: list[int] = []

    def another_part() -> None:
        with slots.acquire("another part"):
            has_a_slot.set()
            ended.wait(60)

    other = threading.Thread(target=another_part)

    def work(piece: int) -> None:
        if threading.current_thread() is threading.main_thread():
            assert has_a_slot.wait(60)
            return
        helped.append(piece)
        other.start()
        while not slots._queued:
            time.sleep(0.001)

    with slots.acquire("part"):
        parallel_map(work, range(8), lambda: slots.try_acquire("part"))
    assert len(helped) == 1
    ended.set()
    other.join()


def test_the_error_of_the_earliest_piece_is_raised_when_all_threads_have_ended():
    slots, second_failed = ComputeSlots(2), threading.Event()
    at_work: list[int] = []

    def work(piece: int) -> None:
        at_work.append(piece)
        try:
            if piece == 0:
                second_failed.wait(60)
            elif piece == 1:
                second_failed.set()
            raise KeyError(piece)
        finally:
            at_work.remove(piece)

    with slots.acquire("part"), pytest.raises(KeyError) as raised:
        parallel_map(work, range(100), lambda: slots.try_acquire("part"))
    assert raised.value.args == (0,)
    assert not at_work


def test_the_results_of_a_failed_part_are_freed_at_once():
    """A part that is too large is tried again, and its first results must be gone by then."""

    class Large:
        pass

    made: list[weakref.ref[Large]] = []

    def work(piece: int) -> Large:
        if piece == 5:
            raise MemoryError
        result = Large()
        made.append(weakref.ref(result))
        return result

    slots = ComputeSlots(2)
    gc.disable()
    try:
        with slots.acquire("part"):
            with suppress(MemoryError):
                parallel_map(work, range(10), lambda: slots.try_acquire("part"))
            while slots._holders != ["part"]:  # another thread may be about to end
                time.sleep(0.001)
        assert len(made) >= 5
        assert [each() for each in made] == [None] * len(made)
    finally:
        gc.enable()


def test_an_error_in_making_a_piece_is_raised_after_the_pieces_before_it_are_done():
    def pieces() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    slots, done = ComputeSlots(3), []
    with slots.acquire("part"), pytest.raises(OSError, match="no more"):
        parallel_map(done.append, pieces(), lambda: slots.try_acquire("part"))
    assert done == [1]


def test_an_abandoned_part_releases_all_its_slots_and_gets_no_more():
    slots, hangs, may_end = ComputeSlots(2), threading.Barrier(3), threading.Event()

    def hang(_: int) -> None:
        hangs.wait(60)
        may_end.wait(60)

    def part() -> None:
        with slots.acquire("part"):
            parallel_map(hang, range(2), lambda: slots.try_acquire("part"))

    thread = threading.Thread(target=part, daemon=True)
    thread.start()
    hangs.wait(60)
    slots.abandon("part")
    assert slots.try_acquire("part") is None
    with slots.acquire("first"), slots.acquire("second"):
        may_end.set()
        thread.join(60)
        assert slots.try_acquire("third") is None, "that the threads end at last takes nothing from others"
