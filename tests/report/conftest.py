"""Finished outputs of every kernel, and their pages taken apart."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, api, report

JOBS = {
    "taylor": ('kernel = "taylor"\n[params]\nfunction = "jax.numpy:sqrt"\n', "rows_per_part = 100\n"),
    "derivatives": ('kernel = "derivatives"\n[params]\nfunction = "own.py:f"\n', "rows_per_part = 100\n"),
    "regression": ('kernel = "regression"\n[params]\nfeatures = ["slope", "<b>bend</b>"]\n', ""),
    "descent": ('kernel = "regression"\n[params]\nmethod = "gradient_descent"\nmax_steps = 50\n', ""),
    "apply": ('kernel = "apply"\n[params]\nfunction = "own.py:g"\n', ""),
}
LIMITS = '[limits]\nmax_failed_rows = "50%"\n'
OWN = """
import jax.numpy as jnp

def f(x, y):
    return jnp.log(x) * y

def g(x):
    return {"wave": jnp.sin(x), "decay": jnp.exp(-x)}
"""


def tasks(kernel: str) -> pa.Table:
    rng = np.random.default_rng(5)
    if kernel == "taylor":
        center = rng.uniform(1.0, 9.0, 300)
        order = rng.integers(0, 9, 300)
        return pa.table({"id": range(300), "center": center, "point": center + rng.normal(0, 0.3, 300), "order": order})
    if kernel in ("regression", "descent"):
        sizes = rng.integers(8, 40, 60)
        X = [rng.normal(size=(size, 2)) for size in sizes]
        y = [x @ [2.0, -3.0] + 1.0 + rng.normal(0, 0.1 + number / 20, len(x)) for number, x in enumerate(X)]
        if kernel == "descent":
            return pa.table({"id": range(60), "X": [x.tolist() for x in X], "y": [each.tolist() for each in y]})
        columns = {"slope": [x[:, 0].tolist() for x in X], "<b>bend</b>": [x[:, 1].tolist() for x in X]}
        when = pa.array(range(1, 61)).cast(pa.timestamp("ns"))  # for which Python has no values
        return pa.table({"id": range(60), "when": when, **columns, "y": [each.tolist() for each in y]})
    return pa.table({"id": range(400), "x": rng.uniform(-1.0, 9.0, 400), "y": rng.normal(size=400)})


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a finished job of a kernel, made once."""
    made: dict[str, Path] = {}

    def folder(kernel: str) -> Path:
        if kernel not in made:
            made[kernel] = tmp_path_factory.mktemp(kernel)
            job, more = JOBS[kernel]
            (made[kernel] / "own.py").write_text(OWN)
            pq.write_table(tasks(kernel), made[kernel] / "tasks.parquet", row_group_size=50)
            where = f'[input]\npath = "tasks.parquet"\n[output]\npath = "results"\n{more}'
            (made[kernel] / "job.toml").write_text(f'name = "<i>{kernel}</i>"\n{job}{where}{LIMITS}')
            api.run(Job.load(made[kernel] / "job.toml"), engine="local", workers=2)
        return made[kernel]

    return folder


class Page(HTMLParser):
    """The tables of a page by the figure, or else the table, that they are in: rows of what cells hold."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._where, self._until, self._cell = "", "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag in ("figure", "table") and named.get("id"):
            self._where, self._until = named["id"] or "", tag
        if tag == "tr":
            self.tables.setdefault(self._where, []).append([])
        if tag == "td":
            value = named.get("data-value")
            self._cell = value is None
            self.tables[self._where][-1].append(value or "")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.tables[self._where][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._cell = False
        if tag == self._until:
            self._where = ""

    def rows(self, figure: str) -> list[list[str]]:
        return [row for row in self.tables[figure] if row]


@pytest.fixture(scope="session")
def pages(finished) -> Callable[[str], Page]:
    made: dict[str, Page] = {}

    def page(kernel: str) -> Page:
        if kernel not in made:
            file = finished(kernel) / "report.html"
            report.write(finished(kernel) / "results", file)
            made[kernel] = Page(file.read_text(encoding="utf-8"))
        return made[kernel]

    return page
