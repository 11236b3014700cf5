"""What every store does, a folder or a bucket."""

import pytest

from jaxbatch.storage import StorageOptions, Store, open_store


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "results"), StorageOptions())
    return open_store(f"s3://{request.getfixturevalue('bucket').name}/some/results", StorageOptions())


def test_the_second_of_two_creations_is_refused_and_changes_nothing(store):
    assert store.create("data/0", b"first")
    assert not store.create("data/0", b"second")
    assert store.read("data/0") == b"first"


def test_replacing_is_the_same_whether_an_object_is_there(store):
    for data in (b"first", b"and second"):
        store.replace("record", data)
        assert store.read("record") == data
        assert list(store.list()) == [("record", len(data))]


def test_an_object_is_read_whole_from_a_place_on_or_as_a_file(store):
    store.create("data/0", data := bytes(range(200)) * 1000)
    assert (store.read("data/0"), store.read("data/0", 199_990)) == (data, data[199_990:])
    with store.open("data/0") as file:
        file.seek(1000)
        assert file.read(10) == data[1000:1010]


def test_what_is_not_there_cannot_be_read(store):
    for read in (store.read, store.open):
        with pytest.raises(FileNotFoundError):
            read("data/0")


def test_a_folder_is_listed_with_all_below_it_and_nothing_beside_it(store):
    sizes = {"a": 1, "data/0": 2, "data/deep/1": 3, "data2/0": 4}
    for name, size in sizes.items():
        store.create(name, b"x" * size)
    store.create_marker("marks/0")
    assert dict(store.list()) == sizes | {"marks/0": 0}
    assert dict(store.list("data")) == {"data/0": 2, "data/deep/1": 3}
    assert dict(store.list("absent")) == {}


def test_an_object_is_deleted_once_and_it_is_no_error_if_it_is_gone(store):
    store.create("data/0", b"x")
    store.delete("data/0")
    store.delete("data/0")
    assert dict(store.list()) == {}
    assert store.create("data/0", b"y")
