"""Folders that are tables of Delta, Iceberg, Hudi or Spark's streaming, where a log says which files count.

Such a folder also holds files of earlier versions, and files some of whose rows are deleted. Read as plain Parquet they
give rows that the table does not have. So files in one are refused, unless the job names a file itself.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

from jaxbatch.errors import InputError
from jaxbatch.storage.options import StorageOptions
from jaxbatch.storage.urls import split

_REQUESTS = 8
"""Requests to a store at a time."""


@dataclass(frozen=True)
class _Format:
    """A format of tables, and how one recognises a folder that is such a table."""

    name: str
    log: str
    """The name of the folder in it that holds the log."""
    current: str
    """Code that lists the table's current files, for a message."""
    endings: tuple[str, ...] = ()
    """A folder called ``log`` is one only if it holds a file whose name ends so; without endings it always is."""

    def has(self, name: str) -> bool:
        """Whether a file of this name in a folder called ``log`` makes that folder a log."""
        return not self.endings or ("/" not in name and name.endswith(self.endings))


_FORMATS = (
    _Format("a Delta table", "_delta_log", "DeltaTable(…).file_uris(), if it has no deletion vectors"),
    _Format(
        "an Iceberg table",
        "metadata",
        "[task.file.file_path for task in table.scan().plan_files()], if it has no delete files",
        endings=(".metadata.json", ".metadata.json.gz"),
    ),
    _Format("a Hudi table", ".hoodie", 'spark.read.format("hudi").load(…).inputFiles(), if it is copy-on-write'),
    _Format("what a streaming query of Spark wrote", "_spark_metadata", "spark.read.parquet(…).inputFiles()"),
)


class TableFolders:
    """Checks folders of this machine, and remembers those that are known to lie in no table."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def check(self, folder: str) -> None:
        """Refuse a folder that is a table or lies in one, by its path as written or with links resolved.

        Raises:
            InputError: it is; the message says how to read the table.
        """
        if folder in self._passed:
            return
        for path in (folder, os.path.realpath(folder)):
            while path not in self._passed:
                for kind in _FORMATS:
                    if _is_logged(path, kind):
                        _refuse(path, kind)
                self._passed.add(path)
                path = os.path.dirname(path)


def _is_logged(folder: str, kind: _Format) -> bool:
    log = os.path.join(folder, kind.log)
    if not os.path.isdir(log):
        return False
    try:
        return not kind.endings or any(map(kind.has, os.listdir(log)))
    except OSError:  # walking the folder will report it
        return False


def check_objects(url: str, taken: Iterable[str], listed: Iterable[str], options: StorageOptions) -> None:
    """Refuse objects of a bucket that lie in a table.

    Args:
        url: the prefix whose objects were listed.
        taken: the URLs of the objects that are to be read.
        listed: the URLs of all objects found.
        options: how to reach the store, which is asked about the folders above ``url``. If it forbids that, no table
            is assumed there.

    Raises:
        InputError: one does; the message says how to read the table.
        OSError: the store cannot be asked.
    """
    tables = _among(listed)
    for folder in (url, *taken) if tables else ():
        while "/" in folder:
            if folder in tables:
                _refuse(folder, tables[folder])
            folder = folder.rpartition("/")[0]
    _check_above(url, options)


def _among(urls: Iterable[str]) -> dict[str, _Format]:
    """The folders that are tables, by the objects found in them, with their formats."""
    tables: dict[str, _Format] = {}
    for url in urls:
        for kind in _FORMATS:
            if f"/{kind.log}/" not in url:
                continue
            segments = url.split("/")
            for place, segment in enumerate(segments[:-1]):
                if segment == kind.log and kind.has("/".join(segments[place + 1 :])):
                    tables.setdefault("/".join(segments[:place]), kind)
    return tables


def _check_above(url: str, options: StorageOptions) -> None:
    from jaxbatch.storage.object_store import is_below

    scheme, bucket, key = split(url)
    segments = key.split("/") if key else []
    above = ["/".join((f"{scheme}://{bucket}", *segments[:length])) for length in range(len(segments))]
    asked = [(folder, kind) for folder in above for kind in _FORMATS]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        answers = pool.map(lambda ask: is_below(f"{ask[0]}/{ask[1].log}", options, ask[1].has), asked)
        for (folder, kind), is_table in zip(asked, answers, strict=True):
            if is_table:
                _refuse(folder, kind)


def _refuse(folder: str, kind: _Format) -> NoReturn:
    raise InputError(
        f"[input] path: {folder} is {kind.name} ({kind.log}): its files may hold rows that are not in the table.",
        f"Export it to plain Parquet, or give its current files as a list, path = […], from {kind.current}.",
    )
