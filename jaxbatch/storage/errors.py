"""Errors of object stores, translated to Python's own by kind, each with a message of one line."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from obstore import exceptions

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_METADATA = ("169.254.169.254", "metadata.google.internal")
"""Hosts that the client asks for credentials if the environment has none."""

_REFUSED = ("status code: 401", "status code: 403")
"""Found in the client's message if a listing is refused, for which it has no class of error."""

_BODY = "body error"
"""Found in the client's message if an answer breaks off. It tries again by itself, unless the answer is an error."""

_RETRIES = 2
"""How often a request is repeated after an interruption."""

T = TypeVar("T")


class BrokenOff(ConnectionError):
    """An answer broke off. The store itself can be reached."""


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Translate the errors of an object store about ``url``. Messages leave out secrets that a request's URL may hold.

    Raises:
        FileExistsError, FileNotFoundError, PermissionError: the object is there, is absent, or access is refused.
        OSError: the object has changed since it was opened, or the store lacks an operation.
        BrokenOff: an answer broke off.
        ConnectionError: anything else. A later try may succeed.
    """
    try:
        yield
    except exceptions.AlreadyExistsError as error:
        raise FileExistsError(f"{url} exists already") from error
    except FileNotFoundError:
        raise FileNotFoundError(f"{url} does not exist") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(f"{url}: access denied ({brief(error)})") from error
    except exceptions.PreconditionError as error:
        raise OSError(f"{url} changed while it was read") from error
    except NotImplementedError as error:  # Python's own, which obstore raises for what a store cannot do
        raise OSError(f"{url}: this store cannot do that ({brief(error)})") from error
    except exceptions.BaseError as error:
        if any(code in str(error) for code in _NO_BUCKET):
            raise FileNotFoundError(f"{url}: there is no such bucket") from error
        if any(host in str(error) for host in _METADATA):
            raise PermissionError(f"{url}: no credentials in the environment or on this machine") from error
        if any(code in str(error) for code in _REFUSED):
            raise PermissionError(f"{url}: access denied ({brief(error)})") from error
        kind = BrokenOff if _BODY in str(error) else ConnectionError
        raise kind(f"{url}: {brief(error)}") from error


def retry_interrupted(request: Callable[[], T], interruption: type[ConnectionError] = BrokenOff) -> T:
    """The result of a request to a store, which is repeated after an ``interruption``.

    The client repeats requests by itself, but not if an error's answer breaks off, nor a listing.

    Raises:
        OSError: see :func:`translate_errors`.
    """
    for _ in range(_RETRIES):
        with suppress(interruption):
            return request()
    return request()


def brief(error: Exception) -> str:
    """One line about an error: the message in the store's answer, if there is one."""
    text = str(error).strip().split("\n")[0] if "<Code>" not in str(error) else str(error)
    said = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    text = ": ".join(said.groups()) if said else re.sub(r"\?[^\s\"')]*", "", text)
    return " ".join(text.split())[:300].rstrip(".")
