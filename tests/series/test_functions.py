"""Functions of all kinds: coefficients to order 6 unrolled and to order 20 looped."""

import jax
import pytest

from . import array_cases, elementary_cases, model_cases, program_cases, reference, special_cases

CASES = [
    *elementary_cases.CASES,
    *special_cases.CASES,
    *array_cases.CASES,
    *program_cases.CASES,
    *model_cases.CASES,
]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_coefficients(case, monkeypatch):
    order = case.order if case.exact else min(case.order, 6)
    wanted = [reference.exact(case, point, order) for point in case.points]
    for arithmetic, to in (("unrolled", min(order, 6)), ("looped", order)):
        reference.use(monkeypatch, arithmetic)
        found = reference.computed(case.function, case.points, to, *case.fixed)
        for point, got, wanted_at in zip(case.points, found, wanted, strict=True):
            label = f"{case.name} at {point}, {arithmetic}"
            reference.assert_coefficients(got, wanted_at[:, : to + 1], 1e-12, label, together=case.together)
