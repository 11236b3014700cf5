"""The errors that users meet: what happened, where, and what to do about it.

Each class has the exit code of the command that fails with it. A failed *row* is no error, but a status in the output
(``columns.Status``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``jaxbatch``, as schedulers may rely on them."""

    DONE = 0
    PARTS_FAILED = 1
    USAGE = 2
    TOO_MANY_FAILED_ROWS = 3
    REFUSED = 4
    OUTPUT = 5
    UNREACHABLE = 75
    INTERRUPTED = 130
    TERMINATED = 143


class JaxbatchError(Exception):
    """Root of all errors: ``what`` happened and where, and the ``remedy`` for it."""

    exit_code = ExitCode.PARTS_FAILED

    def __init__(self, what: str, remedy: str = ""):
        super().__init__(what, remedy)
        self.what = one_line(what)
        self.remedy = one_line(remedy)

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class UsageError(JaxbatchError):
    """A command or function was called in a way that cannot work, or a package that it needs is missing."""

    exit_code = ExitCode.USAGE


class JobError(JaxbatchError):
    """The job file, its kernel or its function cannot be run as written."""

    exit_code = ExitCode.REFUSED


class InputError(JaxbatchError):
    """The input files are missing, unreadable, or do not fit the kernel."""

    exit_code = ExitCode.REFUSED


class NoUsableFile(InputError):
    """All input files are bad ones, of the kind that ``on_bad_file = "skip"`` leaves out."""


class OutputError(JaxbatchError):
    """The output folder belongs to another run, holds other things, or refuses access."""

    exit_code = ExitCode.OUTPUT


class ClaimedByAnother(OutputError):
    """The output folder was claimed by another run before."""


class OutputTaken(OutputError):
    """Another run has taken the output folder while this one was at work."""


class AccessError(JaxbatchError):
    """A cluster or a store refuses access; trying again will not help."""

    exit_code = ExitCode.OUTPUT


class StorageError(JaxbatchError):
    """An object store does not answer now; the same command may succeed later."""

    exit_code = ExitCode.UNREACHABLE


class ClusterError(JaxbatchError):
    """The cluster cannot be reached now; the same command may succeed later."""

    exit_code = ExitCode.UNREACHABLE


class Interrupted(JaxbatchError):
    """The run was stopped by a signal; what is published stays, and running again resumes."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, exit_code: ExitCode = ExitCode.INTERRUPTED):
        super().__init__("Interrupted.", "Finished parts are kept: run the same command again to continue.")
        self.exit_code = exit_code


class Detached(Interrupted):
    """A command that waited for a job on a cluster was stopped by a signal. The job itself goes on."""

    def __init__(self, identity: str, address: str, exit_code: ExitCode):
        super().__init__(exit_code)
        self.what = f"Interrupted; the job {identity} keeps running."
        self.remedy = f"Follow it with: jaxbatch logs {identity} --follow --address {address}"


@contextmanager
def translate_storage_errors() -> Iterator[None]:
    """Translate an OSError of a disk or an object store into an error with a remedy. Also a decorator.

    Raises:
        AccessError: access is refused.
        StorageError: an object store does not answer.
        OutputError: anything else.
    """
    try:
        yield
    except OSError as error:
        raise _translated(error) from error


def _translated(error: OSError) -> JaxbatchError:
    where = f"{error.filename}: " if error.filename else ""
    what = f"{where}{error.strerror or error}".rstrip(".") + "."
    remote = error.errno is None  # only errors of the operating system have a number
    if isinstance(error, PermissionError):
        return AccessError(what, "Check the credentials." if remote else "Check the folder's owner and permissions.")
    if isinstance(error, ConnectionError):
        return StorageError(what, "Check [storage] endpoint or AWS_ENDPOINT_URL, or try again later.")
    if remote:
        return OutputError(what, "Correct [output] path, or create the bucket.")
    return OutputError(what, "Check the folder's owner, permissions and free space.")


def nearest(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """A hint for a misspelt ``word``: the nearest of the ``known`` words, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(sorted(known))}." if known else ""


def printable(error: BaseException, length: int = 300) -> str:
    """An error's message in one line of at most ``length`` characters, without control characters, which a damaged file
    can put there."""
    return one_line(str(error))[:length].strip()


def readable_bytes(count: int) -> str:
    """A number of bytes for a message, to three digits: ``"512 MiB"``, ``"1.5 GiB"``."""
    size, unit = next(((size, unit) for size, unit in _UNITS if count >= size), _UNITS[-1])
    return f"{count / size:,.0f} {unit}" if count >= 100 * size else f"{count / size:.3g} {unit}"


_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "bytes"))


def one_line(text: str) -> str:
    """A text with spaces for line breaks and control characters, which names in a job or a damaged file can hold."""
    return "".join(char if char.isprintable() else " " for char in text)
