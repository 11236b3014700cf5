"""Names and values in hints: what a user copies from one is TOML, and means what was meant."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxbatch.job.toml import toml_key, toml_value

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_any_name_is_a_key(name):
    assert tomllib.loads(f"{toml_key(name)} = 1") == {name: 1}


@given(TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False))
def test_any_value_is_read_back(value):
    found = tomllib.loads(f"a = {toml_value(value)}")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("name", "key"), [("spot", "spot"), ("a-b_2", "a-b_2"), ("a.b", '"a.b"'), ("", '""')])
def test_a_key_is_quoted_only_where_it_must_be(name, key):
    assert toml_key(name) == key
