"""URLs of object stores: ``scheme://bucket/key``."""

import re

SCHEMES = ("s3", "gs", "az")

_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<bucket>[^/]*)/?(?P<key>.*)$", re.DOTALL)


def is_remote(path: str) -> bool:
    """Whether a path is a URL rather than a path of this machine."""
    return _URL.match(path) is not None


def split(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of a URL.

    Raises:
        ValueError: the URL makes no sense, or holds credentials; the message says which.
    """
    found = _URL.match(url)
    if found is None or found["scheme"] not in SCHEMES:
        raise ValueError(f"only {', '.join(f'{scheme}://' for scheme in SCHEMES)} and local paths are supported")
    bucket, key = found["bucket"], found["key"].strip("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError("a path cannot contain credentials or ports")
    if re.search(r"[?&](sig|token|x-amz-\w+)=", key, re.IGNORECASE):
        raise ValueError("a path cannot contain a signature")
    if not bucket:
        raise ValueError("it names no bucket")
    if any(segment in ("", ".", "..") for segment in key.split("/")) and key:
        raise ValueError("a key cannot contain empty segments, '.' or '..'")
    return found["scheme"], bucket, key


def normalised(url: str) -> str:
    """A URL without slashes at its end."""
    return url.rstrip("/")


def lies_in(url: str, folder: str) -> bool:
    """Whether a URL is that of ``folder`` or of an object below it."""
    return f"{normalised(url)}/".startswith(f"{normalised(folder)}/")
