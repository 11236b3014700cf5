"""A bucket as a store, on a network that loses and cuts answers."""

import pytest

from jaxbatch.storage import StorageOptions, open_file, open_store


def test_an_object_is_there_once_although_the_reply_was_lost(bucket):
    losses = iter(["lose"])
    bucket.proxy.fault = lambda method, *_: next(losses, None) if method == "PUT" else None
    store = open_store(f"s3://{bucket.name}/results", StorageOptions())
    assert not store.create("data/0", b"whole"), "the client's second try met what the first had made"
    assert next(losses, None) is None
    assert store.read("data/0") == b"whole"
    assert list(store.list()) == [("data/0", 5)]


def test_an_answer_that_nothing_is_there_may_break_off_too(bucket):
    cuts = iter(["cut", "cut"])
    bucket.proxy.fault = lambda _, path, __: next(cuts, None) if "nothing" in path else None
    with pytest.raises(FileNotFoundError):
        open_store(f"s3://{bucket.name}/results", StorageOptions()).read("nothing")
    assert next(cuts, None) is None


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(bucket):
    before = bytes(range(256)) * 1000
    for size in (None, len(before)):
        bucket.client.put_object(Bucket=bucket.name, Key="other/object", Body=before)
        with open_file(f"s3://{bucket.name}/other/object", StorageOptions(), size) as file:
            assert file.read(1000) == before[:1000]
            assert file.read(1000) == before[1000:2000]
            bucket.client.put_object(Bucket=bucket.name, Key="other/object", Body=before[::-1])
            with pytest.raises(OSError, match="changed while it was read"):
                file.read(1000)
