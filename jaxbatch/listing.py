"""Which files the input has, and in which order."""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxbatch.errors import InputError
from jaxbatch.job import Job

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


def check_apart(job: Job, files: Iterable[str]) -> None:
    """Refuse an output that lies in an input folder, or that input files lie in.

    Raises:
        InputError: they overlap.
    """
    output = os.path.realpath(job.resolve(job.output.path))
    for path in job.input.paths:
        folder = os.path.realpath(job.resolve(_fixed_prefix(path)))
        if os.path.isdir(folder) and _lies_in(output, folder) and _claims(path, os.path.relpath(output, folder)):
            raise InputError(f"[output] path: {output} lies in the input folder {folder}.", _APART)
    for file in files:
        if _lies_in(os.path.realpath(file), output):
            raise InputError(f"[output] path: the input file {file} lies in {output}.", _APART)


_APART = "Write to a folder of its own."


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _claims(path: str, inside: str) -> bool:
    """Whether an input path lays claim to what is ``inside`` its folder: ``*.parquet`` beside the job does not."""
    path = os.path.normpath(path)
    named = not glob.has_magic(path) or _fixed_prefix(path) != ""
    return named or fnmatch.fnmatch(inside.split(os.sep)[0], Path(path).parts[0])


def list_files(job: Job) -> list[tuple[str, str]]:
    """Pairs of a file's path and its name within the input, in the input's order.

    Raises:
        InputError: a file or folder is not there, or nothing matches at all.
    """
    listed: dict[str, tuple[str, str]] = {}
    for path in job.input.paths:
        if _SCHEME.match(path):
            raise InputError(
                f"[input] path: {path} is not on a local disk.",
                "This version reads local files and mounts only.",
            )
        if not glob.has_magic(path) and not os.path.exists(job.resolve(path)):
            raise InputError(f"[input] path: there is no {job.resolve(path)}.", f"Paths start at {job.folder}.")
        for file, root in sorted(_walk(job, path)):
            listed.setdefault(os.path.realpath(file), (file, os.path.relpath(file, root)))
    if not listed:
        raise InputError(
            f"[input] path: no Parquet file matches {', '.join(job.input.paths)}.",
            f"Paths start at {job.folder}; folders are walked for *.parquet.",
        )
    return list(listed.values())


def _walk(job: Job, given: str) -> Iterator[tuple[str, str]]:
    path = job.resolve(given)
    if os.path.isdir(path):
        yield from ((file, path) for file in _walk_folder(path))
    elif os.path.isfile(path):
        yield path, os.path.dirname(path)
    elif glob.has_magic(given):
        root = job.resolve(_fixed_prefix(given))
        named = Path(given).parts
        pattern = os.path.normpath(os.path.join(glob.escape(str(job.folder)), given))  # the folder is no pattern
        for match in glob.iglob(pattern, recursive=True):
            if any(_hidden(part) and part not in named for part in Path(os.path.relpath(match, root)).parts):
                continue
            if os.path.isdir(match):
                yield from ((file, root) for file in _walk_folder(match))
            else:
                yield match, root


def _walk_folder(folder: str) -> Iterator[str]:
    for current, folders, files in os.walk(folder, onerror=_unreadable, followlinks=False):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from (os.path.join(current, n) for n in files if n.endswith(".parquet") and not _hidden(n))


def _unreadable(error: OSError) -> None:
    raise InputError(f"[input] path: {error.filename}: {error.strerror}.", "Give access to the folder, or move it.")


def _hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def _fixed_prefix(path: str) -> str:
    while glob.has_magic(path):
        path = os.path.dirname(path)
    return path
