"""A folder of this machine as a store: the first writer of an object wins, and no reader sees a part of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxbatch.errors import ExitCode, OutputError
from jaxbatch.storage import LocalStore, StorageOptions, open_store
from tests.output.helpers import files, together


def test_of_many_writers_exactly_one_wins(tmp_path):
    store = LocalStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(16)]
    for round_ in range(5):
        name = f"data/{round_}"
        won = together(16, lambda number, name=name: store.create(name, contents[number]))
        assert won.count(True) == 1
        assert store.read(name) == contents[won.index(True)]
    assert len(files(tmp_path)) == 5


def test_listing_beside_writers(tmp_path):
    """Temporary files of others come and go while a folder is listed."""
    store = LocalStore(tmp_path)
    stop = threading.Event()

    def write(number: int) -> None:
        while not stop.is_set():
            store.replace(f"data/{number}", b"x")

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        try:
            for _ in range(300):
                assert all(size >= 0 for _, size in store.list())
        finally:
            stop.set()
        assert [writer.result() for writer in writers] == [None] * 4


def test_a_file_cannot_be_an_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file") as caught:
        open_store(str(tmp_path / "file" / "results"), StorageOptions())
    assert caught.value.exit_code == ExitCode.OUTPUT == 5
