"""What changed, in words that show it."""

from typing import Any

from jaxbatch.output.differences import differences


def test_long_lists_show_what_differs_in_them():
    same = [[f"column{number}", "double"] for number in range(9)]
    (said,) = differences({"schema": [*same, ["value", "double"]]}, {"schema": [*same, ["px", "double"]]})
    assert said == 'schema was … ["value", "double"] …, is … ["px", "double"] …'


def test_what_a_user_has_changed_comes_before_what_follows_from_it():
    before = {
        "code": {"program": "1f", "kernel": "a"},
        "compute": {"batch_rows": [8]},
        "input": {"keep": [], "limit": 5},
    }
    after = {
        "code": {"program": "2e", "kernel": "a"},
        "compute": {"batch_rows": [64]},
        "input": {"keep": ["x"], "limit": 50},
    }
    assert differences(before, after) == [
        "input.limit was 5, is 50",
        'input.keep was [], is ["x"]',
        "compute.batch_rows was [8], is [64]",
        "the computation changed: the function, what it calls, or a value in it",
    ]


def test_files_of_a_lookup_are_told_from_those_of_the_input():
    def identity(content: str, prefix: str) -> dict[str, Any]:
        file = {"name": "a.parquet", "size": 1, "footer": "1f", "content": content}
        return {"input": {"files": [file], "lookup": {"market": {"prefix": prefix, "files": [file]}}}}

    assert differences(identity("2e", ""), identity("3d", "m_")) == [
        "input file a.parquet changed",
        "lookup 'market': file a.parquet changed",
        'input.lookup.market.prefix was "", is "m_"',
    ]
