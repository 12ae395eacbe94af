"""Connections to object stores, how long they are tried for, and what their errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pyarrow import ArrowInvalid, fs

from pruning_core.artifact_places.addresses import BucketAddress
from pruning_core.errors import StorageError

__all__ = ["bucket_errors", "connect"]

_NUM_ATTEMPTS = 6  # pauses between them grow, to half a minute in all at most
_CONNECT_TIMEOUT_S = 5.0
_SILENCE_TIMEOUT_S = 15.0  # of each attempt: a store that never answers is given up after two minutes
_RETRY_LIMIT = timedelta(seconds=60)  # of Google's store

_GOOGLE_DETAILS, _GOOGLE_TOKEN = " error_info=", "OAuth2 access token"
_ERROR_CODE = re.compile(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))?")
_REMEDIES = {
    "NETWORK_CONNECTION": "see that the store runs and that region and endpoint_override are right, then resume",
    "NO_SUCH_BUCKET": "make the bucket, or correct storage.artifacts",
    "ACCESS_DENIED": "see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what stands for them, are set where the "
    "search and its workers run, and that they may list, read, write and delete there",
    "301": "name the bucket's region in the address: ?region=NAME",
}
_SAME_AS = {
    "INVALID_ACCESS_KEY_ID": "ACCESS_DENIED",
    "SIGNATURE_DOES_NOT_MATCH": "ACCESS_DENIED",
    "INVALID_CLIENT_TOKEN_ID": "ACCESS_DENIED",
    "MISSING_AUTHENTICATION_TOKEN": "ACCESS_DENIED",
    "401": "ACCESS_DENIED",
    "403": "ACCESS_DENIED",
}


def connect(address: BucketAddress) -> fs.FileSystem:
    """Connect to an object store and see that its bucket is there.

    Credentials come from where the store's own tools look for them: the environment, configuration files, the machine's
    role.

    Raises:
        StorageError: The bucket is not there, or the store does not answer or refuses.
    """
    with bucket_errors(address):
        files = _file_system(address)
        is_there = files.get_file_info(address.bucket).type is not fs.FileType.NotFound
    if not is_there:
        raise StorageError(
            f"the artifact store {address.text} must have its bucket, but there is no {address.bucket!r}; "
            f"{_REMEDIES['NO_SUCH_BUCKET']}"
        )
    return files


@contextmanager
def bucket_errors(address: BucketAddress) -> Iterator[None]:
    """Turn what pyarrow raises into one line for the user.

    Raises:
        StorageError: In the place of errors of the network, the store and the options of the address.
    """
    try:
        yield
    except (OSError, ArrowInvalid) as error:
        text = " ".join(str(error).split()).partition(_GOOGLE_DETAILS)[0]
        raise StorageError(
            f"the artifact store {address.text} must answer, but: {text}; {_remedy(text)}"
        ) from error


def _file_system(address: BucketAddress) -> fs.FileSystem:
    if address.scheme == "gs":
        return fs.GcsFileSystem(**address.options, retry_time_limit=_RETRY_LIMIT)
    return fs.S3FileSystem(
        **address.options,
        connect_timeout=_CONNECT_TIMEOUT_S,
        request_timeout=_SILENCE_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_NUM_ATTEMPTS),
        allow_delayed_open=True,  # a small object is one request, not three
    )


def _remedy(text: str) -> str:
    if _GOOGLE_TOKEN in text:
        return "see that GOOGLE_APPLICATION_CREDENTIALS is set where the search and its workers run"
    found = _ERROR_CODE.search(text)
    codes = [code for code in found.groups() if code] if found else []
    known = [_REMEDIES[code] for code in (_SAME_AS.get(code, code) for code in codes) if code in _REMEDIES]
    return known[0] if known else "see to that, then resume"
