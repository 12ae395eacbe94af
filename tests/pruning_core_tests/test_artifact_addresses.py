"""Addresses of artifacts: what is understood, what is refused, and that no secret is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.artifact_places.addresses import BucketAddress, check_address, read_address
from pruning_core.errors import InvalidSettingsError


def test_an_s3_address_names_a_bucket_a_prefix_and_where_the_server_is() -> None:
    text = "s3://bucket/some/team%20a/?endpoint_override=host:9000&scheme=http&region=eu-west-1"
    assert read_address(text) == BucketAddress(
        text=text,
        scheme="s3",
        bucket="bucket",
        prefix="some/team a",
        options={"endpoint_override": "host:9000", "scheme": "http", "region": "eu-west-1"},
    )


@pytest.mark.parametrize("text", ["gs://bucket", "gs://bucket/"])
def test_a_prefix_may_be_left_out(text: str) -> None:
    assert read_address(text) == BucketAddress(text=text, scheme="gs", bucket="bucket", prefix="", options={})


@pytest.mark.parametrize("text", ["/shared/team a", "file:///shared/team%20a"])
def test_a_shared_folder_is_named_by_path_or_uri(text: str) -> None:
    assert check_address(text) == text
    assert read_address(text) == Path("/shared/team a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "shared/artifacts",
            r"must be the absolute path of a shared folder, file:///PATH, s3://BUCKET/.*got 'shared",
        ),
        ("", "must be the absolute path of a shared folder"),
        ("http://host/bucket", r"s3://BUCKET/PREFIX\?.* or gs://BUCKET/PREFIX, but got the scheme 'http'"),
        ("hdfs://host/path", "but got the scheme 'hdfs'"),
        ("s3:///prefix", r"must name a bucket as in s3://BUCKET/PREFIX, but got 's3:///prefix'"),
        ("file://shared/artifacts", "must be file:///PATH, with three slashes"),
        ("file:///shared?region=x", "and nothing after the path"),
        (
            "gs://bucket/a?region=x",
            r"unknown option 'region' .* Known options there: endpoint_override, scheme;",
        ),
        ("s3://bucket/a?region=", "must give the option 'region' a value"),
        ("s3://bucket/a?scheme=ftp", "must have scheme=http or scheme=https, but got 'ftp'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(InvalidSettingsError, match=said):
        check_address(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "s3://AKIA:hush@bucket/prefix",
            "must hold no credentials, .*; set AWS_ACCESS_KEY_ID and",
        ),
        (
            "s3://bucket/prefix?secret_key=hush",
            "unknown option 'secret_key' .*; credentials belong into",
        ),
        ("ftp://user:hush@host/", "must hold no credentials"),
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(InvalidSettingsError, match=said) as refusal:
        check_address(text)
    assert "hush" not in str(refusal.value)
