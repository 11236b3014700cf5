"""Clients of object stores, one per bucket, with credentials from the environment or a profile."""

import functools
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore.store

from jaxbatch.errors import JobError
from jaxbatch.storage.errors import brief
from jaxbatch.storage.options import StorageOptions

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

_CLIENT: Any = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(minutes=10)}
"""A part is sent in one request, because only one request can be conditional. So a request may take long."""

_RETRY: Any = {
    "max_retries": 10,
    "retry_timeout": timedelta(minutes=1),
    "backoff": {"max_backoff": timedelta(seconds=10)},
}


@functools.cache
def client(scheme: str, bucket: str, options: StorageOptions) -> Any:
    """The client of one bucket, shared by all threads.

    Raises:
        JobError: the options or the credentials make no sense.
    """
    try:
        return _MAKERS[scheme](bucket, options)
    except (ValueError, obstore.exceptions.BaseError) as error:
        raise JobError(
            f"{scheme}://{bucket}: {brief(error)}.", "Check [storage] and the environment variables."
        ) from error


def _s3(bucket: str, options: StorageOptions) -> Any:
    settings: Any = {}
    endpoint = options.endpoint or next((os.environ[name] for name in _ENDPOINTS if name in os.environ), None)
    if options.endpoint:
        settings["endpoint"] = options.endpoint
    if options.region:
        settings["region"] = options.region
    if options.anonymous:
        settings["skip_signature"] = True
    if re.search(r"//[^/]*@|\?", endpoint or ""):
        raise ValueError("an endpoint's URL cannot contain credentials")
    plain = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
    provider = None if options.anonymous else _aws_profile(options)
    return obstore.store.S3Store(
        bucket,
        config=settings,
        client_options=_CLIENT | plain,
        retry_config=_RETRY,
        credential_provider=provider,
    )


def _aws_profile(options: StorageOptions) -> Any:
    """Credentials of a profile in ~/.aws: the profile that is named, or the default if the environment has no key.

    Raises:
        JobError: the profile cannot be used.
    """
    profile = options.profile or os.environ.get("AWS_PROFILE")
    if not profile and ("AWS_ACCESS_KEY_ID" in os.environ or not _has_aws_files(os.environ)):
        return None
    try:
        import boto3
        import botocore.exceptions
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if not profile:
            return None
        raise JobError(
            f"The profile '{profile}' of ~/.aws needs the package boto3.", "pip install 'jaxbatch[aws]'."
        ) from None
    try:
        return Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise JobError(f"The profile '{profile or 'default'}' of ~/.aws: {error}", "Check ~/.aws.") from error


def _has_aws_files(environment: Mapping[str, str]) -> bool:
    files = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "config"}
    return any(Path(environment.get(name, Path.home() / ".aws" / file)).is_file() for name, file in files.items())


def _gs(bucket: str, options: StorageOptions) -> Any:
    settings: Any = {"skip_signature": True} if options.anonymous else {}
    return obstore.store.GCSStore(bucket, config=settings, client_options=_CLIENT, retry_config=_RETRY)


def _az(container: str, options: StorageOptions) -> Any:
    settings: Any = {"skip_signature": True} if options.anonymous else {}
    emulated = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true")
    plain = {"allow_http": True} if emulated else {}
    return obstore.store.AzureStore(container, config=settings, client_options=_CLIENT | plain, retry_config=_RETRY)


_MAKERS = {"s3": _s3, "gs": _gs, "az": _az}
