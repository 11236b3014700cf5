"""A part is published once and whole, whoever else publishes it."""

from jaxbatch.output.publish import publish
from jaxbatch.storage import LocalStore
from tests.output.helpers import encoded, files, together


def test_the_same_part_may_be_published_by_all(tmp_path):
    data, receipt = encoded()
    assert together(8, lambda _: publish(LocalStore(tmp_path), data, receipt)) == [None] * 8
    assert files(tmp_path) == {receipt.name: bytes(data)}


def test_another_part_of_that_name_is_refused(tmp_path):
    data, receipt = encoded()
    answers = together(8, lambda number: publish(LocalStore(tmp_path), bytes(data) + bytes([number]), receipt))
    assert answers.count(None) == 1
    assert all("other contents" in str(answer) for answer in answers if answer is not None)
    assert list(files(tmp_path)) == [receipt.name]
