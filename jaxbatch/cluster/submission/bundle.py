"""What goes to a cluster with a job: its file, and where it names files beside it, the folder they lie in."""

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxbatch.errors import JobError
from jaxbatch.job.model import Job
from jaxbatch.storage.urls import is_remote

LIMIT_BYTES = 100 * 2**20
"""So much may go along: data belong in a store."""

IGNORE_FILE = ".jaxbatchignore"
"""In the job's folder: patterns of names and paths that stay behind, one a line."""

IGNORED = (
    *(".*", "__pycache__", "*.parquet", "node_modules", "*.pyc", "*.egg-info"),
    *("report.html", "*.pem", "*.key", "id_rsa*", "id_ed25519*", "credentials*", "_SUCCESS"),
)
"""Names that stay behind always; virtual environments, outputs and links that lead out of the folder do too."""


@dataclass(frozen=True)
class Bundle:
    """Files of a folder, by their paths in it."""

    folder: Path
    files: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    @property
    def digest(self) -> str:
        """What tells it from another: of names and contents."""
        found = hashlib.sha256()
        for name in self.files:
            content = (self.folder / name).read_bytes()
            found.update(f"{name}\0{len(content)}\0".encode() + content)
        return found.hexdigest()

    def copy_to(self, target: Path) -> None:
        """Copy the files, and nothing else, to an empty folder."""
        for name in self.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, target / name)


def bundle(job: Job, file: Path) -> Bundle:
    """What a job needs on a cluster: its file alone, where its kernel and functions are installed modules.

    Raises:
        JobError: it is too much, or the whole home folder.
    """
    file = file.resolve()
    folder = file.parent
    if not _names_files(job, folder):
        return Bundle(folder, (file.name,))
    if folder in (Path.home(), Path(folder.anchor)):
        raise JobError(f"Submitting {file} would upload all of {folder}.", "Give the job a folder of its own.")
    found = Bundle(folder, tuple(sorted({file.name, *_below(folder, job)})))
    if found.size > LIMIT_BYTES:
        sizes = sorted(((folder / name).stat().st_size, name) for name in found.files)
        largest = ", ".join(f"{name} ({size / 2**20:,.0f} MiB)" for size, name in sizes[:-4:-1])
        raise JobError(
            f"{found.size / 2**20:,.0f} MiB would be uploaded with {file.name}, "
            f"the limit is {LIMIT_BYTES / 2**20:.0f}: {largest}.",
            f"List files that the job does not need in {folder}/{IGNORE_FILE}.",
        )
    return found


def _names_files(job: Job, folder: Path) -> bool:
    """Whether the kernel or a function is a file, or a module that lies beside the job."""
    references = [job.kernel, *_texts(job.params)]
    targets = [text.rpartition(":")[0] for text in references if ":" in text]
    for target in targets:
        if target.endswith(".py") and not (folder / target).resolve().is_relative_to(folder):
            raise JobError(f"'{target}' does not lie in {folder}, the folder that is uploaded.", "Move it there.")
    return any(target.endswith(".py") or _lies_beside(target.split(".")[0], folder) for target in targets if target)


def _lies_beside(module: str, folder: Path) -> bool:
    return module.isidentifier() and ((folder / f"{module}.py").exists() or (folder / module).is_dir())


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _below(folder: Path, job: Job) -> Iterator[str]:
    """The files below a folder that go along; links to folders are not followed."""
    output = job.resolve(job.output.path)
    own = folder / IGNORE_FILE
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]

    def stays(path: str) -> bool:
        name = os.path.basename(path)
        if any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED):
            return True
        relative = os.path.relpath(path, folder)
        return any(fnmatch.fnmatch(name, each) or fnmatch.fnmatch(relative, each) for each in patterns)

    for parent, folders, names in os.walk(folder):
        paths = {name: os.path.join(parent, name) for name in folders}
        folders[:] = [
            name
            for name, path in paths.items()
            if not (stays(path) or _is_of_its_own(path) or _is_output(path, output))
        ]
        for name in names:
            path = os.path.join(parent, name)
            inside = os.path.realpath(path).startswith(f"{folder}{os.sep}")
            if os.path.isfile(path) and inside and not stays(path):
                yield os.path.relpath(path, folder)


def _is_of_its_own(path: str) -> bool:
    """Whether a folder is a virtual environment, or an output of whatever run."""
    return any(os.path.exists(os.path.join(path, mark)) for mark in ("pyvenv.cfg", "_jaxbatch"))


def _is_output(path: str, output: str) -> bool:
    return not is_remote(output) and os.path.realpath(path) == os.path.realpath(output)
