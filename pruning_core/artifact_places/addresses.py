"""Addresses of places for artifacts: the path of a folder, or a URI. This file loads no pyarrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pruning_core.errors import InvalidSettingsError

__all__ = ["BUCKET_OPTIONS", "BucketAddress", "check_address", "read_address"]

BUCKET_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "s3": ("region", "endpoint_override", "scheme"),
    "gs": ("endpoint_override", "scheme"),
}
"""What may follow the question mark, by the scheme of the address."""

_ALLOWED = (
    "the absolute path of a shared folder, file:///PATH, s3://BUCKET/PREFIX?region=NAME&endpoint_override=HOST:PORT "
    "or gs://BUCKET/PREFIX"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketAddress:
    """Part of a bucket.

    ``scheme``: a key of ``BUCKET_OPTIONS``. ``prefix``: without slashes at its ends, may be empty.
    """

    text: str
    scheme: str
    bucket: str
    prefix: str
    options: Mapping[str, str]


def check_address(address: str) -> str:
    """Return an address if it means the same on every machine.

    Raises:
        InvalidSettingsError: It is a relative path, or a URI that cannot be used; the text repeats no secret.
    """
    found = read_address(address)
    if isinstance(found, Path) and not found.is_absolute():
        raise InvalidSettingsError(f"must be {_ALLOWED}, but got {address!r}")
    return address


def read_address(address: str) -> Path | BucketAddress:
    """Read an address: a folder, or part of a bucket.

    Raises:
        InvalidSettingsError: A URI that cannot be used; the text repeats no secret.
    """
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise InvalidSettingsError(
            "must hold no credentials, but the address has some before its '@'; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment instead"
        )
    if parts.scheme == "file":
        return _folder(address, parts)
    if parts.scheme not in BUCKET_OPTIONS:
        raise InvalidSettingsError(f"must be {_ALLOWED}, but got the scheme {parts.scheme!r}")
    if not parts.netloc:
        raise InvalidSettingsError(
            f"must name a bucket as in {parts.scheme}://BUCKET/PREFIX, but got {address!r}"
        )
    return BucketAddress(
        text=address,
        scheme=parts.scheme,
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        options=_options(parts),
    )


def _folder(address: str, parts: SplitResult) -> Path:
    if parts.netloc or parts.query or not parts.path.startswith("/"):
        raise InvalidSettingsError(
            f"must be file:///PATH, with three slashes and nothing after the path, but got {address!r}"
        )
    return Path(unquote(parts.path))


def _options(parts: SplitResult) -> dict[str, str]:
    """Return what follows the question mark; values of unknown names may be secrets and are not repeated."""
    known, options = BUCKET_OPTIONS[parts.scheme], dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            raise InvalidSettingsError(
                f"unknown option {name!r} of an address of {parts.scheme}://. Known options there: "
                f"{', '.join(known)}; credentials belong into the environment."
            )
        if not value:
            raise InvalidSettingsError(
                f"must give the option {name!r} a value, as in {name}=VALUE, but it is empty"
            )
    if options.get("scheme", "https") not in {"http", "https"}:
        raise InvalidSettingsError(f"must have scheme=http or scheme=https, but got {options['scheme']!r}")
    return options
