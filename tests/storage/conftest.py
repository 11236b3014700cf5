"""A bucket of its own for a test, on a real S3 server that is reached through a proxy."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.object_store import ENVIRONMENT, Proxy, make_bucket, s3_server

_numbers = itertools.count()


@dataclass(frozen=True)
class Bucket:
    """A bucket, its name, and the proxy before its server."""

    name: str
    proxy: Proxy
    client: Any


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[Bucket]:
    proxy, name = Proxy(server), f"bucket-{next(_numbers)}"
    for variable, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(variable, value)
    make_bucket(server, name)
    yield Bucket(name, proxy, boto3.client("s3", endpoint_url=server))
    proxy.close()
