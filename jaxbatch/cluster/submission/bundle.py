"""What is sent to a cluster with a job: its file, and if it names files beside it, the folder they lie in."""

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxbatch.errors import JobError, readable_bytes
from jaxbatch.job.model import Job
from jaxbatch.storage.urls import is_remote

LIMIT_BYTES = 100 * 2**20
"""The most bytes that may be sent along: data belong in a store."""

IGNORE_FILE = ".jaxbatchignore"
"""In the job's folder: patterns of names and paths that stay behind, one a line."""

IGNORED = (
    *(".*", "__pycache__", "*.parquet", "node_modules", "*.pyc", "*.egg-info"),
    *("report.html", "*.pem", "*.key", "id_rsa*", "id_ed25519*", "credentials*", "_SUCCESS"),
)
"""Names that are never sent; nor are virtual environments, outputs, and links that lead out of the folder."""


@dataclass(frozen=True)
class Bundle:
    """Files of a folder, by their paths in it."""

    folder: Path
    files: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    @property
    def digest(self) -> str:
        """The SHA-256 of all names and contents, in hexadecimal."""
        digest = hashlib.sha256()
        for name in self.files:
            content = (self.folder / name).read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def copy_to(self, target: Path) -> None:
        """Copy the files, and nothing else, to an empty folder."""
        for name in self.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, target / name)


def bundle(job: Job, file: Path) -> Bundle:
    """The files that a job needs on a cluster: its own alone, if its kernel and functions are installed modules.

    Raises:
        JobError: they are more than may be sent, or would be a whole home folder or disk.
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
        largest = ", ".join(f"{name} ({readable_bytes(size)})" for size, name in sizes[:-4:-1])
        raise JobError(
            f"{readable_bytes(found.size)} would be uploaded with {file.name}, "
            f"the limit is {readable_bytes(LIMIT_BYTES)}: {largest}.",
            f"List files that the job does not need in {folder}/{IGNORE_FILE}.",
        )
    return found


def _names_files(job: Job, folder: Path) -> bool:
    """Whether the kernel or a function is a file, or a module that lies beside the job.

    Raises:
        JobError: such a file lies outside the job's folder.
    """
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
    """The paths of files below a folder that are sent; links to folders are not followed."""
    output = job.resolve(job.output.path)
    ignore_file = folder / IGNORE_FILE
    lines = ignore_file.read_text(encoding="utf-8").splitlines() if ignore_file.is_file() else []
    patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]

    def is_ignored(path: str) -> bool:
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
            if not (is_ignored(path) or _is_environment_or_output(path) or _is_this_output(path, output))
        ]
        for name in names:
            path = os.path.join(parent, name)
            inside = os.path.realpath(path).startswith(f"{folder}{os.sep}")
            if os.path.isfile(path) and inside and not is_ignored(path):
                yield os.path.relpath(path, folder)


def _is_environment_or_output(path: str) -> bool:
    """Whether a folder is a virtual environment, or the output of any run."""
    return any(os.path.exists(os.path.join(path, mark)) for mark in ("pyvenv.cfg", "_jaxbatch"))


def _is_this_output(path: str, output: str) -> bool:
    return not is_remote(output) and os.path.realpath(path) == os.path.realpath(output)
