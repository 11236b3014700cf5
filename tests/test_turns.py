"""So many at once and no more; and who does not end keeps nobody waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxbatch.turns import Turns


def test_so_many_at_once_and_no_more():
    turns, having, most = Turns(3), [], []

    def take(owner: int) -> None:
        for _ in range(20):
            with turns.turn(owner):
                having.append(owner)
                most.append(len(having))
                time.sleep(0.0005)
                having.remove(owner)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert max(most) == 3
    assert len(most) == 160


def test_one_that_is_given_up_keeps_nobody_waiting():
    turns, ended = Turns(1), threading.Event()

    def hang() -> None:
        with turns.turn("hanging"):
            ended.wait()

    with ThreadPoolExecutor(2) as pool:
        hanging = pool.submit(hang)
        while not turns._having:
            time.sleep(0.001)
        following = pool.submit(lambda: turns.turn("next").__enter__())
        with pytest.raises(TimeoutError):
            following.result(timeout=0.2)
        assert turns.waited("next") > 0.1
        turns.give_up("hanging")
        following.result(timeout=60)
        assert turns._having == {"next"}
        ended.set()
        hanging.result(timeout=60)
    assert turns._having == {"next"}, "that the first ends at last takes nothing from the second"
    assert turns.end("next") > 0.1
    assert turns.waited("next") == 0
