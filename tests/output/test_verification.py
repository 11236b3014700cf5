"""An output is read again against its manifest: what is missing, more or altered is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.errors import InputError
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS
from jaxbatch.output.verification import verify
from tests.output.helpers import encoded, files, finished


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sealed output that its tests leave as it was."""
    folder = tmp_path_factory.mktemp("sealed")
    finished(folder)
    before = files(folder)
    yield folder
    assert files(folder) == before


def test_nothing_to_say_of_a_whole_output(sealed):
    assert verify(str(sealed)) == []


@settings(deadline=None)
@given(position=st.integers(0, len(encoded(0)[0]) - 1), change=st.integers(1, 255), part=st.integers(0, 1))
def test_every_altered_byte_is_found(sealed, position, change, part):
    path = sealed / encoded(part)[1].name
    data = bytearray(whole := path.read_bytes())
    data[position] ^= change
    path.write_bytes(data)
    try:
        assert [path.name in problem for problem in verify(str(sealed))] == [True]
    finally:
        path.write_bytes(whole)


def test_verify_names_what_is_missing_or_more(tmp_path):
    finished(tmp_path)
    first, second = sorted((tmp_path / "data").iterdir())
    second.write_bytes(second.read_bytes()[:-1])
    first.unlink()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / SUCCESS).unlink()
    problems = verify(str(tmp_path))
    assert len(problems) == 4
    for said in (f"{first.name} is missing", f"{second.name} has", "notes.txt is not", "_SUCCESS is missing"):
        assert any(said in problem for problem in problems), said
    (tmp_path / SINGLE_RUN.manifest).unlink()
    assert "not finished" in verify(str(tmp_path))[0]


def test_verify_needs_an_output(tmp_path):
    with pytest.raises(InputError, match="is not an output of jaxbatch"):
        verify(str(tmp_path))
