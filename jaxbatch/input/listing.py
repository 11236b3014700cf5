"""Which files the input has, and in which order."""

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from jaxbatch.errors import InputError
from jaxbatch.input.hive_keys import typed_keys
from jaxbatch.input.table_formats import TableFolders, check_objects
from jaxbatch.input.where import condition_of
from jaxbatch.job.model import Job
from jaxbatch.storage.urls import is_remote, lies_in


@dataclass(frozen=True)
class Listed:
    """A file of the input, as it was listed."""

    path: str
    """Its path, or its URL."""
    name: str
    """Its path within the input, which starts at the folder that the job's path names."""
    size: int | None = None
    """Its bytes, where listing gives them."""
    version: str | None = None
    """What tells its content from another, where listing gives it."""
    key_types: Mapping[str, str] = field(default_factory=dict)
    """The types of the Hive keys, where files were left out by them: as those of all files that were listed."""


def check_output_outside_input(job: Job, files: Iterable[str], called: str = "input") -> None:
    """Refuse an output that lies in an input folder, or that input files lie in.

    Args:
        job: the job.
        files: the input's files.
        called: what messages call the input.

    Raises:
        InputError: they overlap.
    """
    output = _real(job.resolve(job.output.path))
    for path in job.input.paths:
        folder = _real(job.resolve(fixed_prefix(path)))
        if _lies_in(output, folder) and (is_remote(folder) or os.path.isdir(folder)) and _covers(path, output, folder):
            raise InputError(f"[output] path: {output} lies in the {called} folder {folder}.", _APART)
    for file in files:
        if _lies_in(_real(file), output):
            raise InputError(f"[output] path: the {called} file {file} lies in {output}.", _APART)


_APART = "Write to a folder of its own."


def _real(path: str) -> str:
    return path if is_remote(path) else os.path.realpath(path)


def _lies_in(path: str, folder: str) -> bool:
    if is_remote(path) or is_remote(folder):
        return lies_in(path, folder)
    return os.path.commonpath([path, folder]) == folder


def _covers(path: str, output: str, folder: str) -> bool:
    """Whether an input path covers the output in its folder: ``*.parquet`` in the job's own folder does not."""
    if is_remote(path):
        return not glob.has_magic(path) or _matches(_segments(output), _segments(path))
    path = os.path.normpath(path)
    named = not glob.has_magic(path) or fixed_prefix(path) != ""
    return named or fnmatch.fnmatch(os.path.relpath(output, folder).split(os.sep)[0], Path(path).parts[0])


def list_files(job: Job) -> list[Listed]:
    """The files of the input, in its order.

    Raises:
        InputError: a file or folder does not exist, nothing matches, or a file lies in a table such as Delta's.
        OSError: an object store cannot be asked.
    """
    listed: dict[str | tuple[int, int], Listed] = {}
    for path in job.input.paths:
        walk = _walk_store if is_remote(path) else _walk
        try:
            found = sorted(walk(job, path), key=lambda file: file.path)
        except FileNotFoundError as error:
            raise InputError(f"[input] path: {error}.", "Check the bucket's name.") from error
        for file in found:
            listed.setdefault(_real(file.path), file)
    if not listed:
        raise InputError(
            f"[input] path: no Parquet file matches {', '.join(job.input.paths)}.",
            f"Paths start at {job.paths_from}; folders are searched for *.parquet.",
        )
    return _not_excluded(job, list(listed.values()))


def _not_excluded(job: Job, listed: list[Listed]) -> list[Listed]:
    """The files without those in which ``where`` can hold for no row, as the Hive keys in their names show.

    Raises:
        JobError: ``where`` is no condition.
        InputError: no file is left.
    """
    condition = condition_of(job)
    if condition is None:
        return listed
    types, keys = typed_keys(file.name for file in listed)
    kept = [
        replace(file, key_types=types) for file, its in zip(listed, keys, strict=True) if not condition.excludes(its)
    ]
    if not kept:
        raise InputError(
            f"[input] where: the keys in their names rule out all {len(listed)} files that match [input] path.",
            f"Correct where, {condition}, or the path.",
        )
    return kept


def is_input(job: Job, path: str) -> bool:
    """Whether a path could be a file of the job's input for some values of the job's variables."""
    return matching_pattern(job, path) is not None


def matching_pattern(job: Job, path: str) -> str | None:
    """The first of the input's paths that a file lies at or below, with ``*`` in place of each variable; or None."""
    return next((pattern for pattern in job.input_patterns if _fits(job, path, pattern)), None)


def is_lookup(job: Job, name: str, path: str) -> bool:
    """Whether a path could be that of a lookup of the job for some values of the job's variables."""
    pattern = job.lookup_patterns.get(name)
    return pattern is not None and (path == job.input.lookup[name].path or _fits(job, job.resolve(path), pattern))


def _fits(job: Job, path: str, pattern: str) -> bool:
    """Whether a path, or a folder that it lies in, matches a pattern."""
    if is_remote(pattern) or is_remote(path) or os.path.isabs(pattern):
        segments, wanted = _segments(path), _segments(job.resolve(pattern))
    else:
        segments = _segments(os.path.relpath(path, job.paths_from))
        wanted = _segments(os.path.normpath(pattern))
    return any(_matches(segments[:length], wanted) for length in range(len(segments) + 1))


def _walk(job: Job, given: str) -> Iterator[Listed]:
    path = job.resolve(given)
    if os.path.isfile(path):  # the job names the file itself, so its folder may be a table's
        yield _in(os.path.dirname(path), path)
        return
    if os.path.isdir(path):
        root, found = path, _walk_folder(path)
    elif glob.has_magic(given):
        root = job.resolve(fixed_prefix(given))
        found = _matching(job, given, root)
    elif os.path.exists(path):
        return
    else:
        raise _absent(job, path)
    folders = TableFolders()
    folders.check(root)
    for file in found:
        folders.check(os.path.dirname(file))
        yield _in(root, file)


def _matching(job: Job, given: str, root: str) -> Iterator[str]:
    named = Path(given).parts
    for match in _glob(job, given, root):
        if any(_hidden(part) and part not in named for part in Path(os.path.relpath(match, root)).parts):
            continue
        if os.path.isdir(match):
            yield from _walk_folder(match)
        else:
            yield match


def _glob(job: Job, given: str, root: str) -> Iterator[str]:
    if "**" not in Path(given).parts:
        start = glob.escape(str(job.paths_from))  # this folder's name is no pattern, whatever characters it has
        yield from glob.iglob(os.path.normpath(os.path.join(start, given)))
        return
    # Python's own ** follows links to folders, and never ends where two form a circle.
    pattern = Path(given).parts[len(Path(fixed_prefix(given)).parts) :]
    if _matches((), pattern):
        yield root
    for current, folders, files in os.walk(root, onerror=_unreadable, followlinks=False):
        seen = [name for name in folders if not _hidden(name) or name in pattern]
        folders[:] = [name for name in seen if not os.path.islink(os.path.join(current, name))]
        for path in (os.path.join(current, name) for name in (*folders, *files)):
            if _matches(Path(os.path.relpath(path, root)).parts, pattern):
                yield path


def _in(root: str, file: str) -> Listed:
    return Listed(file, os.path.relpath(file, root))


def _absent(job: Job, path: str) -> InputError:
    remedy = "Correct the URL." if "://" in path else f"Paths start at {job.paths_from}."
    return InputError(f"[input] path: {path} does not exist.", remedy)


def _walk_folder(folder: str) -> Iterator[str]:
    for current, folders, files in os.walk(folder, onerror=_unreadable, followlinks=False):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from (os.path.join(current, n) for n in files if n.endswith(".parquet") and not _hidden(n))


def _unreadable(error: OSError) -> None:
    raise InputError(f"[input] path: {error.filename}: {error.strerror}.", "Give access to the folder, or move it.")


def _walk_store(job: Job, given: str) -> Iterator[Listed]:
    """The files at a URL. A bucket has no folders: an object below a match counts as one in its folder."""
    from jaxbatch.storage.object_store import list_objects

    pattern, url = _segments(job.resolve(given)), job.resolve(fixed_prefix(given))
    above = len(_segments(url))
    found: list[Listed] = []
    listed = list(list_objects(url, job.storage))
    for file, size, version in listed:
        segments = _segments(file)
        if file == url:  # the job names the object itself
            yield Listed(file, segments[-1], size, version)
            return
        hidden = any(_hidden(part) and part not in pattern for part in segments[above:])
        if hidden or not (_matches(segments, pattern) or (file.endswith(".parquet") and _below(segments, pattern))):
            continue
        found.append(Listed(file, "/".join(segments[above:]), size, version))
    if found:
        check_objects(url, (each.path for each in found), (file for file, _, _ in listed), job.storage)
    elif not glob.has_magic(given):
        raise _absent(job, url)
    yield from found


def _segments(url: str) -> tuple[str, ...]:
    return PurePosixPath(url).parts


def _below(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    return any(_matches(segments[:length], pattern) for length in range(1, len(segments)))


def _matches(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern, segment by segment; ``**`` matches any number of segments."""
    if not pattern:
        return not segments
    if pattern[0] == "**":
        return any(_matches(segments[skip:], pattern[1:]) for skip in range(len(segments) + 1))
    return bool(segments) and fnmatch.fnmatchcase(segments[0], pattern[0]) and _matches(segments[1:], pattern[1:])


def _hidden(name: str) -> bool:
    return name.startswith(("_", "."))


def fixed_prefix(path: str) -> str:
    """The part of a path before its first segment with a pattern in it."""
    while glob.has_magic(path):
        path = path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)
    return path
