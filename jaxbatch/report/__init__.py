"""One page about a finished run, with its numbers and pictures, that needs nothing but itself.

Reads an output's records and a sample of its rows; runs nothing. Begin with ``page.py``; ``source.py`` is what it
reads, and each kernel has a file of pictures.
"""

import os

from jaxbatch.errors import InputError, UsageError
from jaxbatch.storage import StorageOptions


def write(path: str | os.PathLike[str], file: str | os.PathLike[str], storage: StorageOptions | None = None) -> None:
    """Write the page of an output.

    Args:
        path: the output folder or URL.
        file: the HTML file to write.
        storage: how the output is reached, where it is a URL.

    Raises:
        UsageError: matplotlib or Jinja2 is not installed.
        InputError: there is no output of jaxbatch at ``path``, it has no report yet, or a part is missing.
        OutputError: the file cannot be written.
    """
    try:
        from jaxbatch.report.page import html
    except ModuleNotFoundError as error:
        raise UsageError(f"A report needs {error.name}.", "Install it: pip install 'jaxbatch[report]'.") from None
    from jaxbatch.report.source import RunRecords

    try:
        text = html(RunRecords.read(os.fspath(path), storage or StorageOptions()))
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or error} is missing.", "Run the job again to write it anew.") from error
    with open(file, "w", encoding="utf-8") as page:
        page.write(text)
