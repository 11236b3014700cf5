"""What changed, in words that show it."""

from jaxbatch.differences import differences


def test_long_lists_show_what_differs_in_them():
    same = [[f"column{number}", "double"] for number in range(9)]
    (said,) = differences({"schema": [*same, ["value", "double"]]}, {"schema": [*same, ["px", "double"]]})
    assert said == 'schema was … ["value", "double"] …, is … ["px", "double"] …'
