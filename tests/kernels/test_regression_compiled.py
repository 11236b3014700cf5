"""The programs by which accelerators fit, here on the CPU: what they give, and that NumPy gives the same."""

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.kernels.builtin.regression import kernel
from tests.compiling import BY_OLDER_EMITTERS, compile_programs
from tests.kernels import long_cases
from tests.kernels.regression_cases import CEILING, check, check_nist, datasets, job, nist, noisy


@pytest.fixture
def compiled(monkeypatch):
    """Have programs compute on the CPU too, with the contracted operations from which exact arithmetic must be safe."""
    compile_programs(monkeypatch, BY_OLDER_EMITTERS)
    monkeypatch.setattr(kernel, "BY_NUMPY", ())


@pytest.mark.usefixtures("compiled")
def test_nist_to_the_ceiling_of_float64_data(bench):
    names = [name for name in CEILING if not name.startswith("NoInt")]
    table = {"name": pa.array(names), **datasets(*(nist(name)[:2] for name in names))}
    bench.tasks(table)
    summary = bench.run(job())
    assert summary.compilations > 0
    rows = {row["name"]: row for row in bench.output(summary).to_pylist()}
    digits = {name: CEILING[name] for name in names}
    check_nist(rows, digits, {name: min(wanted, 12.5) for name, wanted in digits.items()})


def close(found: object, expected: object) -> bool:
    """Whether two results are the same, numbers to 10 digits."""
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-10, abs=1e-18, nan_ok=True)
    return found == expected


def test_programs_and_numpy_agree_on_datasets_of_every_kind(bench, monkeypatch):
    good = [noisy(n, p, n) for n, p in ((12, 2), (40, 3), (9, 1))]
    X, y = good[0]
    deficient = (np.column_stack([X, X[:, :1]]), y)
    few = (X[:3], y[:3])
    spoilt = (np.where(np.arange(len(X))[:, None] == 4, np.nan, X), y)
    bench.tasks(datasets(*good, deficient, few, spoilt, (X, y[:-1].tolist()), (X[:0], y[:0])))
    by_numpy = bench.run(job(), 'output.path="by-numpy"')
    compile_programs(monkeypatch, BY_OLDER_EMITTERS)
    monkeypatch.setattr(kernel, "BY_NUMPY", ())
    by_programs = bench.run(job(), 'output.path="by-programs"')
    assert by_numpy.compilations == 0 < by_programs.compilations
    one, other = (bench.output(each).to_pylist() for each in (by_numpy, by_programs))
    assert [row["status"] for row in one][3:] == ["rank_deficient", "ok", "nonfinite", "invalid_input", "invalid_input"]
    for mine, theirs in zip(one, other, strict=True):
        assert all(close(mine[name], theirs[name]) for name in theirs if name not in ("X", "y")), (mine, theirs)


@pytest.mark.usefixtures("compiled")
def test_groups_by_programs(bench):
    table = long_cases.observations()
    long_cases.spread(bench, table)
    summary = bench.run(long_cases.job(group_by=["site"]) + long_cases.INPUT, "output.rows_per_part=60")
    assert summary.compilations > 0
    expected = long_cases.groups_of(table, ["site"])
    for row in bench.output(summary).to_pylist():
        check(row, *expected[(row["site"],)])
