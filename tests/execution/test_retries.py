"""Failures, lost workers and deadlines have a count each: one cannot use up another's."""

from hypothesis import given
from hypothesis import strategies as st

from jaxbatch.execution.engines.retries import LATE_LIMIT, Attempts
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.input.shards import Part, Shard

SHARD = Shard(7, (), (Part(14, 0, 1), Part(15, 1, 1)))


@given(limit=st.integers(1, 4), events=st.lists(st.sampled_from(["failed", "lost", "late"]), max_size=20))
def test_each_count_has_its_own_limit(limit, events):
    attempts = Attempts(limit, "0123456789")
    limits = {"failed": limit, "lost": 2 * limit, "late": LATE_LIMIT}
    seen = dict.fromkeys(limits, 0)
    for event in events:
        seen[event] += 1
        if event == "failed":
            result, retried = attempts.finished(SHARD, ShardResult(7, failures=[Failure(15, "why")]))
            parts = [15]
        else:
            result, retried = getattr(attempts, event)(SHARD, [14, 15], "why")
            parts = [14, 15]
        exhausted = seen[event] >= limits[event]
        assert retried == ([] if exhausted else parts)
        assert [(failure.part, failure.reason) for failure in result.failures] == (
            [(part, "why") for part in parts] if exhausted else []
        )


def test_shards_are_counted_apart():
    attempts = Attempts(1, "0123456789")
    other = Shard(8, (), (Part(16, 0, 1),))
    assert attempts.late(SHARD, [14], "late")[1] == [14]
    assert attempts.late(other, [16], "late")[1] == [16]
    assert attempts.late(SHARD, [14], "late")[1] == []
