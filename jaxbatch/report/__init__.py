"""One self-contained HTML page about a run, with its numbers and pictures.

It reads an output's records and a sample of its rows, and runs no job. Begin with ``page.py``. ``run_records.py`` holds
what it reads, and each kernel's results have a file of pictures.
"""

import os

from jaxbatch.errors import InputError, UsageError
from jaxbatch.storage import StorageOptions


def write(path: str | os.PathLike[str], file: str | os.PathLike[str], storage: StorageOptions | None = None) -> None:
    """Write the page of an output.

    Args:
        path: the output folder or URL.
        file: the HTML file to write.
        storage: how to reach the output, if it is a URL.

    Raises:
        UsageError: matplotlib or Jinja2 is not installed.
        InputError: ``path`` is no output of jaxbatch, its run has not ended yet, or a part is missing.
        OutputError: the file cannot be written.
    """
    try:
        from jaxbatch.report.page import html
    except ModuleNotFoundError as error:
        raise UsageError(f"A report needs {error.name}.", "Install it: pip install 'jaxbatch[report]'.") from None
    from jaxbatch.report.run_records import RunRecords

    try:
        text = html(RunRecords.read(os.fspath(path), storage or StorageOptions()))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or error} is missing.", "Run the job again to write it.") from error
    with open(file, "w", encoding="utf-8") as page:
        page.write(text)
