"""As many threads compute as there are slots, and one that does not end keeps no other waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from jaxbatch.execution.compute_slots import ComputeSlots, ShardAbandoned


def test_no_more_threads_than_slots_compute_at_once():
    slots, holding, most = ComputeSlots(3), [], []

    def take(owner: int) -> None:
        for _ in range(20):
            with slots.acquire(owner):
                holding.append(owner)
                most.append(len(holding))
                time.sleep(0.0005)
                holding.remove(owner)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert max(most) == 3
    assert len(most) == 160


def test_an_abandoned_owner_keeps_nobody_waiting():
    slots, ended = ComputeSlots(1), threading.Event()

    def hang() -> None:
        with slots.acquire("hanging"):
            ended.wait()

    following, has_a_slot, may_end = slots.acquire("next"), threading.Event(), threading.Event()

    def follow() -> None:
        with following:
            has_a_slot.set()
            may_end.wait()

    threads = [threading.Thread(target=target, daemon=True) for target in (hang, follow)]
    threads[0].start()
    while not slots._holders:
        time.sleep(0.001)
    threads[1].start()
    assert not has_a_slot.wait(timeout=0.2)
    assert slots.wait_seconds("next") > 0.1
    slots.abandon("hanging")
    assert has_a_slot.wait(timeout=60)
    ended.set()
    threads[0].join(timeout=60)
    assert slots._holders == ["next"], "that the first ends at last takes nothing from the second"
    may_end.set()
    threads[1].join(timeout=60)
    assert not slots._holders
    assert slots.forget("next") > 0.1
    assert slots.wait_seconds("next") == 0


def test_an_owner_abandoned_while_it_waits_gets_no_slot():
    slots, ends, raised = ComputeSlots(1), threading.Event(), threading.Event()

    def have() -> None:
        with slots.acquire("first"):
            ends.wait()

    def wait() -> None:
        try:
            with slots.acquire("second"):
                pass
        except ShardAbandoned:
            raised.set()

    threads = [threading.Thread(target=target, daemon=True) for target in (have, wait)]
    threads[0].start()
    while not slots._holders:
        time.sleep(0.001)
    threads[1].start()
    while not slots._waiting_since:
        time.sleep(0.001)
    slots.abandon("second")
    assert raised.wait(timeout=60)
    ends.set()
    with slots.acquire("third"):
        assert slots._holders == ["third"]
