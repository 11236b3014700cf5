"""What a kernel's class may define, how its ragged inputs are padded, and what a worker gets of how it was bound."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from jaxbatch import Column, Kernel
from jaxbatch.columns import ColumnType
from jaxbatch.errors import JobError
from jaxbatch.kernels.base import powers_of_two
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.planning import planner

OWN = """
from dataclasses import dataclass

from jaxbatch import Column, Kernel


@dataclass(frozen=True)
class Twice(Kernel):
    inputs = (Column("x"),)
    outputs = (Column("y"{OPTIONS}),)
    {HOOK}

    def row(self, x):
        return {"y": 2 * x}
"""

RENAMED = {
    "then: Kernel | None = None": "second_stage",
    "then = None": "second_stage",
    "then: Kernel": "second_stage",
    "def nothing(self): return {}": "empty_state",
    "def unfinished(self, bucket, outputs): return None": "needs_recompute",
    "wide = True": "needs_x64",
}


def planned(bench, hook: str, options: str = ""):
    bench.tasks({"x": [1.0]})
    bench.file("own.py", OWN.replace("{HOOK}", hook).replace("{OPTIONS}", options))
    return planner.plan(bench.job('kernel = "own.py:Twice"\n'))


@pytest.mark.parametrize("hook", list(RENAMED))
def test_a_hook_under_its_former_name_is_refused_with_the_new_one(hook, bench):
    with pytest.raises(JobError, match=rf"Twice has '\w+', which is called '{RENAMED[hook]}' now"):
        planned(bench, hook)


def test_so_is_one_of_a_class_that_is_mixed_in():
    class Mixin:
        wide = True

    with pytest.raises(JobError, match="'needs_x64'"):
        type("Mixed", (Mixin, Kernel), {})


def test_the_former_name_of_a_columns_test_is_refused_with_the_new_one(bench):
    with pytest.raises(JobError, match="check_finite"):
        planned(bench, "pass", options=", tested=False")


def test_hooks_under_their_names_are_taken(bench):
    assert planned(bench, "needs_x64 = True").parts == 1


def test_columns_survive_being_sent():
    column = Column("x", "int", shape=("n",), check_finite=False)
    assert pickle.loads(pickle.dumps(column)) == column


def test_lengths_are_padded_to_the_next_power_of_two():
    lengths = [0, 1, 8, 9, 16, 17, 2**20, 2**20 + 1, 2**40 - 1]
    expected = []
    for length in lengths:
        size = 8
        while size < length:
            size *= 2
        expected.append(size)
    assert powers_of_two(np.array(lengths)).tolist() == expected


class _Probe:
    """Answers of the data, in a process that has them."""

    def maximum(self, column: str) -> int | None:
        return {"order": 7}[column]

    def length(self, column: str) -> int | None:
        raise AssertionError(column)

    def __reduce__(self):
        raise AssertionError("a worker gets no data")


def test_a_worker_knows_the_answers_but_has_no_data_to_ask():
    types: Mapping[str, ColumnType] = {"order": ColumnType("int", 0, None, 0.0, "int64")}
    context = BindContext(types, {}, "float64", folder=Path(), probe=_Probe())
    assert context.maximum("order") == 7
    sent = pickle.loads(pickle.dumps(context))
    assert sent.probe is None
    assert sent.maximum("order") == 7


@pytest.mark.parametrize(("old", "new"), [("require_there", "require_columns"), ("peek", "probe")])
def test_a_former_name_in_bind_is_refused_with_the_new_one(old, new):
    context = BindContext({}, {}, "float64", Path())
    with pytest.raises(JobError, match=f"'{old}', which is called '{new}' now"):
        getattr(context, old)
    assert not hasattr(context, "anything_else")
    assert pickle.loads(pickle.dumps(context)) == context
