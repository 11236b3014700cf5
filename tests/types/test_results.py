"""What a function returns is written as it is; and the page that says all this is what the table gives."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.types import page
from tests.types.conftest import APPLY
from tests.types.table import RESULTS, RESULTS_REFUSED


def test_results_are_written_as_they_are(bench):
    lines = ["import jax.numpy as jnp", "def f(x):", "    out = {}"]
    wanted: dict[str, list[Any]] = {}
    for name in RESULTS:
        low, high = "False", "True"
        wanted[name] = [False, True]
        if name != "bool":
            about = "iinfo" if "int" in name else "finfo"
            low, high = (f"jnp.{about}('{name}').{end}" for end in ("min", "max"))
            wanted[name] = [getattr(getattr(np, about)(name), end) for end in ("min", "max")]
        lines.append(f"    low, high = jnp.asarray({low}, '{name}'), jnp.asarray({high}, '{name}')")
        lines.append(f"    out['{name}'] = jnp.where(x > 0, high, low)")
        lines.append(f"    out['list of {name}'] = jnp.stack([low, high])")
        lines.append(f"    out['lists of {name}'] = jnp.stack([low, high])[:, None]")
    bench.file("own.py", "\n".join([*lines, "    return out\n"]))
    bench.tasks({"x": [0.0, 1.0, None]}, "tasks/a.parquet")
    found = bench.output(bench.run(APPLY))
    for name, ends in wanted.items():
        assert found[name].type == pa.from_numpy_dtype(np.dtype(name))
        assert found[name].to_pylist() == [*ends, None], name
        assert found[f"list of {name}"].to_pylist() == [ends, ends, None], name
        assert found[f"lists of {name}"].to_pylist() == [[[end] for end in ends]] * 2 + [None], name


@pytest.mark.parametrize("name", RESULTS_REFUSED)
def test_results_that_are_no_column(bench, refusal, name):
    bench.file("own.py", f"def f(x):\n    return x.astype('{name}')\n")
    bench.tasks({"x": [0.0]}, "tasks/a.parquet")
    assert f"returns {name} as 'value', which cannot be a column" in refusal(APPLY)


def test_the_page_is_what_the_table_gives():
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "python -m tests.types.page"
