"""The marks of shards at work are gone when a run is given up on purpose, whatever its threads are about to do."""

import threading

import pytest

from jaxbatch.output.in_flight import InFlight
from jaxbatch.storage import LocalStore

RUN = "0123456789abcdef"


class SlowToMark(LocalStore):
    """A store in which a mark takes until it is let through."""

    def __init__(self, folder: str):
        super().__init__(folder)
        self.asked, self.let_through = threading.Event(), threading.Event()

    def create_marker(self, name: str) -> None:
        self.asked.set()
        assert self.let_through.wait(60)
        super().create_marker(name)


@pytest.fixture
def store(tmp_path) -> SlowToMark:
    return SlowToMark(tmp_path)


def test_a_mark_that_is_on_its_way_is_taken_away_too(store):
    in_flight = InFlight(store, "rows", RUN)
    beginning = threading.Thread(target=in_flight.begin, args=(3, 1))
    beginning.start()
    assert store.asked.wait(60)
    threading.Timer(0.1, store.let_through.set).start()
    in_flight.withdraw()
    beginning.join(60)
    assert InFlight(store, "rows", RUN).left() == {}


def test_after_that_none_is_made(store):
    in_flight = InFlight(store, "rows", RUN)
    store.let_through.set()
    in_flight.begin(1, 1)
    in_flight.withdraw()
    in_flight.begin(2, 1)
    in_flight.end(2)
    assert InFlight(store, "rows", RUN).left() == {}


def test_what_is_begun_and_not_ended_is_left_to_the_next(store):
    in_flight = InFlight(store, "rows", RUN)
    store.let_through.set()
    for shard in (1, 2, 3):
        in_flight.begin(shard, 1)
    in_flight.end(2)
    assert InFlight(store, "rows", RUN).left() == {1: 1, 3: 1}
    assert InFlight(store, "rows", "f" * 16).left() == {}
