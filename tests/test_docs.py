"""Every snippet and command of README and docs/ is run, in the order of its page, and every link leads somewhere."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jaxbatch"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "build" not in page.parts),
]
EXAMPLES = [*sorted((ROOT / "examples").rglob("*.md")), *sorted((ROOT / "tests/data").rglob("*.md"))]

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?!https?://)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_ONE_LINK = re.compile(r"(?:[-*] )?!?\[[^\]]*\]\([^)\s]*\)")
_PATH = re.compile(r"`([a-z.][\w.-]*/(?:\w[\w.-]*/)*(?:\w[\w.-]*\.(?:py|md|txt|toml))?)`")
_NAMED = re.compile(r"# (?P<name>[\w.]+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str | None:
        """The file that it is, by its first line."""
        named = _NAMED.match(self.text)
        return named["name"] if named else None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(page, text[: found.start()].count("\n") + 1, found["language"], found["text"])


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str, str | None]]:
    for page in PAGES:
        for link in _LINK.finditer(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
            yield page, link["path"], link["anchor"]


def test_every_link_leads_somewhere():
    found = list(links())
    assert len(found) > 20
    for page, path, anchor in found:
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {path}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {path}#{anchor}"


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a page that are neither code, nor a row of a table, nor one link, with their numbers."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("```"):
            fenced = not fenced
        elif not fenced and not stripped.startswith("|") and not _ONE_LINK.fullmatch(stripped):
            yield number, line


def test_no_line_of_prose_is_longer_than_120_characters():
    assert len(PAGES + EXAMPLES) > 30
    long = [
        f"{page.relative_to(ROOT)}:{number}"
        for page in PAGES + EXAMPLES
        for number, line in prose(page.read_text(encoding="utf-8"))
        if len(line) > 120
    ]
    assert not long


def test_prose_is_told_from_code_and_tables():
    page = "words\n```\ncode\n```\n- item\n  ```\n  code\n  ```\n| a | table |\n![picture](of/it.svg)\nmore\n"
    assert [line for _, line in prose(page)] == ["words", "- item", "more"]


def test_every_path_for_contributors_exists():
    """In backquotes, with a folder: from the project's root, or within the package. NAME is the reader's to choose."""
    found = {
        (page.name, path)
        for page in [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs/development").rglob("*.md"))]
        for path in _PATH.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
        if "NAME" not in path
    }
    assert len(found) > 50
    assert not [each for each in sorted(found) if not any((base / each[1]).exists() for base in (ROOT, PACKAGE))]


def test_every_test_that_a_page_names_exists():
    named = {
        (page.name, path)
        for page in [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for path in re.findall(r"(?:tests/[\w/]*)?\btest_\w+\.py|\btests/[\w/]+/", page.read_text(encoding="utf-8"))
        if "NAME" not in path
    }
    assert len(named) > 30
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert not [each for each in sorted(named) if each[1] not in tests and not (ROOT / each[1]).exists()]


def test_commands_of_make_are_there():
    makefile = (ROOT / "Makefile").read_text()
    told = re.findall(r"^make (\w+)", "".join(block.text for block in blocks(ROOT / "README.md")), re.MULTILINE)
    assert told == ["demo", "test"]
    for target in told:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_key_of_a_job_is_explained():
    page = (ROOT / "docs/job-file.md").read_text()
    tables = {name: field.annotation for name, field in Job.model_fields.items()}
    for name, annotation in tables.items():
        inner = getattr(annotation, "model_fields", None)
        if inner is None:
            assert f"| `{name}` |" in page or f"## `[{name}]`" in page, name
            continue
        section = page[page.index(f"## `[{name}]`") :].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(inner), name


def files_for_readme(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "observations").mkdir()
    rain, sun = rng.normal(size=60), rng.normal(size=60)
    columns = {"site": rng.integers(0, 3, 60), "rain": rain, "sun": sun, "growth": rain + 2 * sun + rng.normal(size=60)}
    pq.write_table(pa.table(columns), folder / "observations/a.parquet")


def files_for_kernels(folder: Path) -> None:
    (folder / "tasks").mkdir()
    pq.write_table(pa.table({"principal": [1000.0], "rate": [0.01]}), folder / "tasks/loans.parquet")


def files_for_operations(folder: Path) -> None:
    pq.write_table(pa.table({"x": [1.0]}), folder / "2026-11-22.parquet")
    (folder / "daily.toml").write_text(
        'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\n[input]\npath = "{date}.parquet"\n'
        '[output]\npath = "results/{date}"\n'
    )


def files_for_jobs(folder: Path) -> None:
    (folder / "trades").mkdir()
    columns = {
        "id": [1, 2, 3],
        "region": ["EU", "US", None],
        "price": [4.0, 9.0, 16.0],
        "day": pa.array([20_758, 20_759, 20_760], pa.date32()),
    }
    pq.write_table(pa.table(columns), folder / "trades/a.parquet")
    positions = {"id": [1, 2], "ticker": ["A", "B"], "quantity": [10.0, -5.0]}
    pq.write_table(pa.table(positions), folder / "positions.parquet")
    market = {"symbol": ["B", "A"], "spot": [20.0, 10.0], "currency": ["EUR", "USD"]}
    pq.write_table(pa.table(market), folder / "market.parquet")


BEFORE: dict[str, Callable[[Path], None]] = {
    "README.md": files_for_readme,
    "job-file.md": files_for_jobs,
    "add-a-kernel.md": files_for_kernels,
    "operations.md": files_for_operations,
}
"""What a page takes for granted."""


def python(folder: Path, *arguments: str) -> str:
    ended = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def command(folder: Path, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[1] == "submit":
        words.append("--dry-run")  # there is no cluster of that name
    python(folder, "-m", *words)


def run_block(folder: Path, block: Block, namespace: dict[str, object]) -> None:
    if block.name:
        (folder / block.name).write_text(block.text)
        if block.name.startswith("make_"):
            python(folder, block.name)
    elif block.language == "toml":
        job = tomllib.loads(block.text)
        if "kernel" in job:
            (folder / f"job{block.line}.toml").write_text(block.text)
            python(folder, "-m", "jaxbatch", "run", f"job{block.line}.toml")
        else:
            (folder / "more.toml").write_text((folder / "job.toml").read_text() + block.text)
            python(folder, "-m", "jaxbatch", "plan", "more.toml")
    elif block.language == "python":
        exec(compile(block.text, f"{block.page.name}, line {block.line}", "exec"), namespace)
    else:
        for line in block.text.splitlines():
            if line.startswith("jaxbatch "):
                command(folder, line)


RUN = [page for page in PAGES if any(block.language or "jaxbatch " in block.text for block in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=[page.name for page in RUN])
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    BEFORE.get(page.name, lambda _: None)(tmp_path)
    namespace: dict[str, object] = {}
    exec("import jax.numpy as jnp\nfrom jaxbatch import Column", namespace)  # which parts of a class take for granted
    run = 0
    for block in blocks(page):
        run_block(tmp_path, block, namespace)
        run += 1
    assert run
