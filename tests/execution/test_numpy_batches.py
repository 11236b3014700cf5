"""Rows and groups that NumPy computes, no more of them at once than temporary arrays have room for."""

import warnings

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.kernels.builtin.regression import host
from tests.kernels import long_cases
from tests.kernels.regression_cases import datasets, job, noisy


@pytest.fixture
def at_once(monkeypatch):
    """Have at most two datasets of two terms computed at once, and list the numbers of those that were."""
    found: list[int] = []
    fit = host.HostFit.compute

    def compute(self, columns, lengths, order=None):
        found.append(len(columns["n"]))
        return fit(self, columns, lengths, order)

    monkeypatch.setattr(host.HostFit, "compute", compute)
    monkeypatch.setattr(host, "MATRIX_ELEMENTS", 33)
    return found


def test_rows_come_in_order_whatever_the_number_at_once(bench, at_once, monkeypatch):
    bench.tasks(datasets(*(noisy(20, 2 + number % 2, number) for number in range(9))))
    few = bench.output(bench.run(job(), 'output.path="few"')).to_pylist()
    assert at_once == [2, 2, 1, 1, 1, 1, 1]
    monkeypatch.setattr(host, "MATRIX_ELEMENTS", 1 << 22)
    assert bench.output(bench.run(job(), 'output.path="many"')).to_pylist() == few
    assert at_once[7:] == [5, 4]


def test_groups_come_in_order_whatever_the_number_at_once(bench, at_once, monkeypatch):
    long_cases.spread(bench, long_cases.observations())
    given = long_cases.job(group_by=["site"]) + long_cases.INPUT
    few = bench.output(bench.run(given, 'output.path="few"')).to_pylist()
    assert len(few) == sum(at_once) > max(at_once) <= 3
    monkeypatch.setattr(host, "MATRIX_ELEMENTS", 1 << 22)
    assert bench.output(bench.run(given, 'output.path="many"')).to_pylist() == few


def test_an_infinite_response_warns_of_nothing(bench):
    X, y = noisy(9, 1, 0)
    bench.tasks(datasets((X, np.where(np.arange(9) == 0, np.inf, y))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = bench.rows(job(method="cholesky"))
    assert row["status"] == "nonfinite"


def test_observations_of_weights_below_the_normal_numbers_are_left_out(bench):
    X, y = noisy(9, 1, 0)
    weights = [[5e-324] * 9, [5e-324] * 4 + [1.0] * 5]
    bench.tasks({**datasets((X, y), (X, y)), "w": pa.array(weights)})
    none, five = bench.rows(job(weights="w"))
    assert none["status"] == "invalid_input"
    assert (five["status"], five["n"]) == ("ok", 5)
