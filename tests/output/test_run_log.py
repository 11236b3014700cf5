"""What the latest attempt at a run leaves beside its parts."""

import json

from tests.output.helpers import an_output, files


def test_errors_are_recorded_and_withdrawn(tmp_path):
    output = an_output(tmp_path)
    errors = [{"part": 3, "reason": "a\nb"}, {"file": "x"}]
    output.record_errors(errors)
    lines = (tmp_path / "_jaxbatch/errors.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == errors
    output.record_errors([])
    assert files(tmp_path) == {}
