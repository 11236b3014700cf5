"""An object store's errors as Python's own, by kind and in a line."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from obstore import exceptions

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_METADATA = ("169.254.169.254", "metadata.google.internal")
"""Where credentials are asked for when the environment has none."""

_REFUSED = ("status code: 401", "status code: 403")
"""In what the client says of a listing that is refused: it has no error of its own for that."""

_BODY = "body error"
"""In what the client says where an answer breaks off: it asks again by itself, unless that is an error's."""

ANSWER_RETRIES = 2


class BrokenOff(ConnectionError):
    """An answer that broke off, of a store that is there."""


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Translate what goes wrong with ``url``, leaving out what may be secret in a request's own URL.

    Raises:
        FileExistsError, FileNotFoundError, PermissionError: as they say.
        OSError: it has changed since it was opened.
        ConnectionError: anything else; perhaps it goes better later.
    """
    try:
        yield
    except exceptions.AlreadyExistsError as error:
        raise FileExistsError(f"{url} already exists") from error
    except FileNotFoundError:
        raise FileNotFoundError(f"{url} does not exist") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(f"{url}: access denied ({brief(error)})") from error
    except exceptions.PreconditionError as error:
        raise OSError(f"{url} changed while it was read") from error
    except exceptions.BaseError as error:
        if any(code in str(error) for code in _NO_BUCKET):
            raise FileNotFoundError(f"{url}: there is no such bucket") from error
        if any(host in str(error) for host in _METADATA):
            raise PermissionError(f"{url}: no credentials in the environment or on this machine") from error
        if any(code in str(error) for code in _REFUSED):
            raise PermissionError(f"{url}: access denied ({brief(error)})") from error
        kind = BrokenOff if _BODY in str(error) else ConnectionError
        raise kind(f"{url}: {brief(error)}") from error


def retry_interrupted(ask: Callable[[], Any]) -> Any:
    """What a store answers, asked again where the answer breaks off.

    Raises:
        OSError: as :func:`told` has it.
    """
    for _ in range(ANSWER_RETRIES):
        with suppress(BrokenOff):
            return ask()
    return ask()


def brief(error: Exception) -> str:
    """One line of an error: the store's own words if it has any."""
    text = str(error).strip().split("\n")[0] if "<Code>" not in str(error) else str(error)
    said = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    text = ": ".join(said.groups()) if said else re.sub(r"\?[^\s\"')]*", "", text)
    return " ".join(text.split())[:300].rstrip(".")
