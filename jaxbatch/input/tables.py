"""Folders that are tables of Delta, Iceberg, Hudi or Spark's streaming: their log says which files count.

What else lies in such a folder are files of earlier versions, and files of which rows are deleted: read as plain
Parquet they give rows that are not in the table. So what lies in one is refused, unless its file is named outright.
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
"""So many questions to a store at a time."""


@dataclass(frozen=True)
class _Format:
    """What a kind of table is called, the folder in its own that is its log, and what lists its current files."""

    name: str
    log: str
    current: str
    endings: tuple[str, ...] = ()
    """Of names, one of which the folder must hold; any of that name is a log otherwise."""

    def has(self, name: str) -> bool:
        """Whether what is called so below the folder makes it a log."""
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


class Folders:
    """The folders of this machine that are known to lie in no table."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def check(self, folder: str) -> None:
        """Refuse a folder that is a table, or lies in one, as it is written or where its links lead.

        Raises:
            InputError: with the way out.
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
    except OSError:  # who walks it will say so
        return False


def check_objects(url: str, taken: Iterable[str], listed: Iterable[str], options: StorageOptions) -> None:
    """Refuse objects of a bucket that lie in a table.

    Args:
        url: below which the store was asked.
        taken: the URLs of the objects that are to be read.
        listed: the URLs of all that were found.
        options: of the store, which is asked about the folders above ``url``; one that forbids that is believed.

    Raises:
        InputError: with the way out.
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
    """The folders that are tables by what was found in them."""
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
