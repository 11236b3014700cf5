"""The page as a browser shows it, and what it may not do."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxbatch import report
from jaxbatch.errors import InputError
from tests.report.conftest import JOBS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.parametrize("kernel", JOBS)
def test_it_asks_for_nothing_and_runs_nothing(kernel, pages):
    page = pages(kernel)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "i", "b"}
    assert "<i>" not in page.text  # the job's name
    assert f"&lt;i&gt;{kernel}&lt;/i&gt;" in page.text
    for _, attributes in page.tags:
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith("#")
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_what_has_no_report(tmp_path, jaxbatch):
    with pytest.raises(InputError, match="is not an output"):
        report.write(tmp_path, tmp_path / "page.html")
    ended = jaxbatch("report", tmp_path)
    assert (ended.returncode, "is not an output" in ended.stderr) == (4, True)


def test_a_part_that_is_missing_is_told(bench, jaxbatch):
    bench.tasks({"x": [1.0]})
    bench.run('kernel = "apply"\nparams.function = "jax.numpy:sin"\n')
    (part,) = (bench.folder / "results/data").iterdir()
    part.unlink()
    ended = jaxbatch("report", "results")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (4, 2), ended.stderr
    assert f"{part.name} is missing" in ended.stderr
    assert "Run the job again" in ended.stderr


def test_rows_of_groups_are_told_from_rows(bench):
    bench.tasks({"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 2.0, 3.0]})
    bench.run('kernel = "regression"\n[params]\ntarget = "y"\nfeatures = ["x"]\nmethod = "cholesky"\n')
    report.write(bench.folder / "results", bench.folder / "page.html")
    assert "Every group of rows of the input has one row here" in (bench.folder / "page.html").read_text()


def test_the_command(finished, jaxbatch, tmp_path):
    folder = finished("taylor")
    for out in (folder / "results", folder / "job.toml"):
        ended = jaxbatch("report", out, "-o", "page.html")
        assert (ended.returncode, ended.stdout) == (0, "page.html\n"), ended.stderr
        assert "Finished and sealed" in (tmp_path / "page.html").read_text()
        (tmp_path / "page.html").unlink()
    ended = jaxbatch("report", folder / "results", "-o", "no/such/folder.html")
    assert (ended.returncode, "cannot be written" in ended.stderr) == (5, True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


SHOWN = """() => ({
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  paper: getComputedStyle(document.body).backgroundColor,
  figures: [...document.querySelectorAll('figure')].map(figure => {
    const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
    const text = svg.querySelector('text');
    return {width: box.width, height: box.height, marks: svg.querySelectorAll('path').length,
            ink: text && getComputedStyle(text).fill, size: text && text.getBoundingClientRect().height};
  }),
})"""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 29)"


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kernel", JOBS)
def test_in_a_browser(kernel, scheme, width, finished, pages, browser, tmp_path):
    pages(kernel)
    told: list[str] = []
    asked: list[str] = []
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    file = Path(finished(kernel)) / "report.html"
    page.goto(file.as_uri())
    shown = page.evaluate(SHOWN)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    page.close()
    assert told == []
    assert asked == [file.as_uri()]
    assert shown["overflow"] <= 0
    assert shown["paper"] == (LIGHT if scheme == "light" else DARK)
    assert len(shown["figures"]) >= 4
    for figure in shown["figures"]:
        assert figure["width"] > 250
        assert figure["height"] > 60
        assert figure["marks"] > 5
        assert figure["ink"] == ("rgb(29, 35, 48)" if scheme == "light" else "rgb(230, 233, 239)")
        assert figure["size"] > 9
