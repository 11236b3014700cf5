"""Small outputs to claim, fill, seal and damage."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jaxbatch.errors import ExitCode, OutputError
from jaxbatch.output import part_file
from jaxbatch.output.catalog import Expected
from jaxbatch.output.publish import publish
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord
from jaxbatch.output.run_output import RunOutput
from jaxbatch.storage import LocalStore

OURS, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
IDENTITY = {"kernel": "taylor", "params": {"order": 2}, "input": {"files": [{"name": "a.parquet", "size": 1}]}}


def encoded(index: int = 0, rows: int = 3, fingerprint: str = OURS) -> tuple[memoryview, Receipt]:
    table = pa.table({"id": range(rows), "value": [index + row / 8 for row in range(rows)]})
    return part_file.encode(table, part=index, fingerprint=fingerprint, compression="snappy", statuses={"ok": rows})


def an_output(folder: Path, fingerprint: str = OURS, rows: tuple[int, ...] = (3, 3)) -> RunOutput:
    """An output that nobody has claimed yet."""
    return RunOutput(LocalStore(folder), fingerprint, [Expected(part, count) for part, count in enumerate(rows)])


def claimed(folder: Path) -> RunOutput:
    output = an_output(folder)
    output.claim.write(ClaimRecord(fingerprint=OURS, identity=IDENTITY))
    return output


def finished(folder: Path) -> RunOutput:
    """A sealed output of two parts."""
    output = an_output(folder)
    output.claim.write(ClaimRecord(fingerprint=OURS, identity=IDENTITY))
    for index in range(2):
        publish(output.store, *encoded(index))
    output.seal.write([])
    return output


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(call, *arguments) -> str:
    with pytest.raises(OutputError) as caught:
        call(*arguments)
    assert caught.value.exit_code == ExitCode.OUTPUT == 5
    return str(caught.value)


def together(count: int, call) -> list[Any]:
    """What ``call(number)`` returns or raises in threads that start at once."""
    barrier = threading.Barrier(count)

    def start(number: int) -> Any:
        barrier.wait()
        try:
            return call(number)
        except OutputError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))
