"""So many at once and no more; and who does not end keeps nobody waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from jaxbatch.execution.compute_slots import ComputeSlots, ShardAbandoned


def test_so_many_at_once_and_no_more():
    turns, having, most = ComputeSlots(3), [], []

    def take(owner: int) -> None:
        for _ in range(20):
            with turns.acquire(owner):
                having.append(owner)
                most.append(len(having))
                time.sleep(0.0005)
                having.remove(owner)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert max(most) == 3
    assert len(most) == 160


def test_one_that_is_given_up_keeps_nobody_waiting():
    turns, ended = ComputeSlots(1), threading.Event()

    def hang() -> None:
        with turns.acquire("hanging"):
            ended.wait()

    following, has_a_turn, may_end = turns.acquire("next"), threading.Event(), threading.Event()

    def follow() -> None:
        with following:
            has_a_turn.set()
            may_end.wait()

    threads = [threading.Thread(target=target, daemon=True) for target in (hang, follow)]
    threads[0].start()
    while not turns._having:
        time.sleep(0.001)
    threads[1].start()
    assert not has_a_turn.wait(timeout=0.2)
    assert turns.wait_seconds("next") > 0.1
    turns.abandon("hanging")
    assert has_a_turn.wait(timeout=60)
    ended.set()
    threads[0].join(timeout=60)
    assert turns._having == ["next"], "that the first ends at last takes nothing from the second"
    may_end.set()
    threads[1].join(timeout=60)
    assert not turns._having
    assert turns.forget("next") > 0.1
    assert turns.wait_seconds("next") == 0


def test_one_that_is_given_up_while_it_waits_gets_no_turn():
    turns, ends, raised = ComputeSlots(1), threading.Event(), threading.Event()

    def have() -> None:
        with turns.acquire("first"):
            ends.wait()

    def wait() -> None:
        try:
            with turns.acquire("second"):
                pass
        except ShardAbandoned:
            raised.set()

    threads = [threading.Thread(target=target, daemon=True) for target in (have, wait)]
    threads[0].start()
    while not turns._having:
        time.sleep(0.001)
    threads[1].start()
    while not turns._waiting:
        time.sleep(0.001)
    turns.abandon("second")
    assert raised.wait(timeout=60)
    ends.set()
    with turns.acquire("third"):
        assert turns._having == ["third"]
