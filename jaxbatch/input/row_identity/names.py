"""What a file of the input is called in the identity of its rows: the same in every run, wherever a variable leads."""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from jaxbatch.errors import InputError
from jaxbatch.input.listing import fixed_prefix, matching_pattern
from jaxbatch.job.model import Job
from jaxbatch.storage.urls import is_remote


def row_name(job: Job, path: str) -> str:
    """A file's path below the last folder before the first pattern or variable in ``[input] path``, with ``/``.

    Of a file that is named outright it is the last segment. Today's values of variables make no difference, so that a
    file is called the same in every run of an output that grows.
    """
    found = matching_pattern(job, path)
    root = path if found is None else job.resolve(fixed_prefix(found))
    if root == path:
        return PurePosixPath(path).name
    if is_remote(path):
        return path.removeprefix(root).lstrip("/")
    return os.path.relpath(path, root).replace(os.sep, "/")


def check_distinct(named: Sequence[tuple[str, str]], earlier: Mapping[str, str]) -> None:
    """Refuse files whose rows could not be told apart.

    Args:
        named: the name and the path of each file.
        earlier: the path by the name of each file that earlier runs of the output have computed.

    Raises:
        InputError: two files have one name.
    """
    seen = dict(earlier)
    for name, path in named:
        other = seen.setdefault(name, path)
        if name in earlier or other != path:
            by_run = ", which an earlier run has computed," if name in earlier else ""
            raise InputError(
                f"[input] path: {other}{by_run} and {path} are both called '{name}', so that their rows would be drawn "
                "the same random numbers.",
                "Rename one, begin the pattern in path at a folder above both, or name rows by columns: "
                '[input] key_by = ["…"].',
            )
