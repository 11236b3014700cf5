"""What planning hands to workers, and what it says of names that TOML must have in quotes."""

import pickle

import pytest

from jaxbatch.errors import InputError, JobError
from jaxbatch.planning.planner import plan

OWN = """
from dataclasses import dataclass
from jaxbatch import Column, Kernel

@dataclass(frozen=True)
class Odd(Kernel):
    inputs = (Column("a b"),)
    outputs = (Column("x.y"),)

    def row(self, **columns):
        return {"x.y": columns["a b"]}
"""

JOB = 'kernel = "own.py:Odd"\n[input]\npath = "tasks.parquet"\n[output]\npath = "results"\n'


@pytest.fixture
def odd(bench):
    bench.file("own.py", OWN)
    return bench


def test_a_missing_column_is_mapped_by_a_quoted_key(odd):
    odd.tasks({"id": [1], "z": [1.0]})
    with pytest.raises(InputError) as caught:
        plan(odd.job(JOB))
    assert '[input] columns = { "a b" = "…" }' in caught.value.remedy


def test_a_result_that_is_a_kept_column_is_renamed_by_a_quoted_key(odd):
    odd.tasks({"a b": [1.0], "x.y": [2.0]})
    with pytest.raises(JobError, match=r"'x\.y', which is already a kept column") as caught:
        plan(odd.job(JOB))
    assert '[output] columns = { "x.y" = "…" }' in caught.value.remedy


def test_workers_get_the_answers_about_the_data_and_not_the_means_to_ask(bench):
    bench.tasks({"center": [1.0], "point": [2.0], "order": [3]})
    planned = plan(bench.job('kernel = "taylor"\nparams.function = "jax.numpy:sin"\n'))
    sent = pickle.loads(pickle.dumps(planned.for_workers()))
    assert planned.source.probe is not None
    assert sent.source.probe is None
    assert sent.source.answers == planned.source.answers == {("maximum", "order"): 3}
