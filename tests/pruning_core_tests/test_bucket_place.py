"""Artifacts in a bucket: how many requests they cost, and what is said when the store or the network has a fault."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from pruning_core.artifact_places import open_place, store_access
from pruning_core.errors import StorageError
from pruning_core.stages.artifact_store import Artifact, ArtifactStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from tests.object_store import ObjectStore

ROOT = Path(__file__).resolve().parents[2]
KEY, ABSENT = "0123456789abcdef01234567", "ff23456789abcdef01234567"
ARTIFACT = Artifact(tensors={"weight": torch.ones(2, 3)}, facts={"value": 1})
LARGE = Artifact(tensors={"weight": torch.zeros(15 * 2**18)})  # 15 MB: uploaded in parts

PROGRAM_THAT_WRITES_FOR_SECONDS = """
import sys, torch
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
ArtifactStore(sys.argv[1]).put(sys.argv[2], Artifact(tensors={"weight": torch.zeros(60 * 2**18)}))
"""


@pytest.fixture
def address(object_store: ObjectStore) -> str:
    """A part of the bucket that nothing is in."""
    return object_store.new_address()


@pytest.fixture
def store(address: str, object_store: ObjectStore) -> ArtifactStore:
    """A store that has been used: its connection stands."""
    found = ArtifactStore(address)
    assert not found.has(ABSENT)
    object_store.requests.clear()
    return found


def test_an_artifact_is_one_object_that_any_program_can_read(
    store: ArtifactStore, address: str, object_store: ObjectStore
) -> None:
    from safetensors.torch import load

    store.put(KEY, ARTIFACT)
    assert object_store.objects(address) == [f"v1/01/{KEY}.safetensors"]
    place = object_store.path_of(address, f"v1/01/{KEY}.safetensors")
    assert torch.equal(
        load(object_store.client.get_object(**place)["Body"].read())["weight"], torch.ones(2, 3)
    )


def test_looking_is_one_request_reading_two_and_writing_one_more(
    store: ArtifactStore, object_store: ObjectStore
) -> None:
    store.has(KEY)
    assert object_store.requests == ["HEAD"]
    store.put(KEY, ARTIFACT)
    assert object_store.requests[1:] == ["HEAD", "PUT"]
    object_store.requests.clear()
    assert store.has(KEY)
    assert store.get(KEY) is not None
    assert object_store.requests == ["HEAD", "HEAD", "GET"]


def test_a_large_artifact_is_read_with_one_request(store: ArtifactStore, object_store: ObjectStore) -> None:
    store.put(KEY, LARGE)
    object_store.requests.clear()
    found = store.get(KEY)
    assert found is not None
    assert torch.equal(found.tensors["weight"], LARGE.tensors["weight"])
    assert object_store.requests == ["HEAD", "GET"]


def test_facts_are_read_without_the_tensors(store: ArtifactStore, object_store: ObjectStore) -> None:
    store.put(KEY, LARGE)
    object_store.requests.clear()
    object_store.bytes_sent = 0
    assert store.facts(KEY) == {}
    assert object_store.requests == ["HEAD", "GET"]
    assert object_store.bytes_sent < 100_000


def test_a_thousand_keys_cost_no_thousand_requests(
    store: ArtifactStore, address: str, object_store: ObjectStore
) -> None:
    keys = [f"{number % 4:02x}{number:022x}" for number in range(1000)]
    for key in keys[:8]:
        store.put(key, ARTIFACT)
    place = open_place(address)
    assert place.among(keys) == set(keys[:8])
    object_store.requests.clear()
    assert set(place.facts_of(keys)) == set(keys[:8])
    assert object_store.requests.count("GET") == 4 + 8  # groups that are listed, beginnings that are read
    assert len(object_store.requests) == 4 + 2 * 8


def test_an_object_without_a_byte_is_no_artifact(
    store: ArtifactStore, address: str, object_store: ObjectStore
) -> None:
    object_store.client.put_object(**object_store.path_of(address, f"v1/01/{KEY}.safetensors"), Body=b"")
    assert not store.has(KEY)
    assert store.get(KEY) is None
    assert open_place(address).among([KEY]) == frozenset()
    store.put(KEY, ARTIFACT)
    assert store.get(KEY) is not None


def test_an_object_of_something_else_is_told(
    store: ArtifactStore, address: str, object_store: ObjectStore
) -> None:
    object_store.client.put_object(
        **object_store.path_of(address, f"v1/01/{KEY}.safetensors"),
        Body=b"\x10\0\0\0\0\0\0\0" + b'{"a": [1, 2, 3]}',
    )
    with pytest.raises(
        StorageError, match=rf"object results/.*{KEY}.safetensors must be a whole artifact, but"
    ):
        store.get(KEY)


@pytest.mark.parametrize("lengths", [(2, 50), (50, 2), (2, 2)])
def test_a_read_that_meets_another_writers_object_is_made_again(
    store: ArtifactStore, address: str, object_store: ObjectStore, lengths: tuple[int, int]
) -> None:
    """Between the question for the length and the one for the content, another artifact takes the place."""
    for value, (key, length) in enumerate(zip((KEY, ABSENT), lengths, strict=True), start=1):
        store.put(key, Artifact(tensors={"weight": torch.full((length, 3), value)}, facts={"value": value}))
    content = object_store.client.get_object(**object_store.path_of(address, f"v1/ff/{ABSENT}.safetensors"))[
        "Body"
    ].read()

    def overtake(environ: WSGIEnvironment) -> None:
        if environ["REQUEST_METHOD"] == "GET":
            object_store.fault = None
            object_store.client.put_object(
                **object_store.path_of(address, f"v1/01/{KEY}.safetensors"), Body=content
            )

    object_store.fault = overtake
    found = store.get(KEY)
    assert object_store.fault is None
    assert found is not None
    assert found.facts == {"value": 2}
    assert torch.equal(found.tensors["weight"], torch.full((lengths[1], 3), 2))


def test_a_part_that_is_not_taken_leaves_no_artifact(store: ArtifactStore, object_store: ObjectStore) -> None:
    def refuse(environ: WSGIEnvironment) -> str | None:
        return "400 Bad Request" if "partNumber=2" in environ["QUERY_STRING"] else None

    object_store.fault = refuse
    with pytest.raises(StorageError, match=r"must answer, but: .*part"):
        store.put(KEY, LARGE)
    object_store.fault = None
    assert not store.has(KEY)
    store.put(KEY, LARGE)
    assert store.get(KEY) is not None


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_counts(
    store: ArtifactStore, address: str, object_store: ObjectStore
) -> None:
    line = [sys.executable, "-c", PROGRAM_THAT_WRITES_FOR_SECONDS, address, KEY]
    writer = subprocess.Popen(line, cwd=ROOT, env=dict(os.environ))
    while writer.poll() is None and object_store.requests.count("PUT") < 2:
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    assert object_store.requests.count("PUT") >= 2
    assert object_store.objects(address) == []
    assert not store.has(KEY)
    assert store.get(KEY) is None
    store.put(KEY, ARTIFACT)
    found = store.get(KEY)
    assert found is not None
    assert found.facts == {"value": 1}


def test_a_store_that_is_busy_for_a_moment_is_asked_again(
    store: ArtifactStore, object_store: ObjectStore
) -> None:
    left = [3]

    def busy(_: WSGIEnvironment) -> str | None:
        left[0] -= 1
        return "503 Slow Down" if left[0] >= 0 else None

    object_store.fault = busy
    store.put(KEY, ARTIFACT)
    assert store.has(KEY)


@pytest.mark.slow
@pytest.mark.integration
def test_a_store_that_stays_busy_is_given_up_within_a_minute(
    store: ArtifactStore, object_store: ObjectStore
) -> None:
    object_store.fault = lambda _: "503 Slow Down"
    started = time.monotonic()
    with pytest.raises(
        StorageError, match=r"must answer, but: .*HTTP status 503.*; see to that, then resume"
    ):
        store.get(KEY)
    assert time.monotonic() - started < 60
    assert len(object_store.requests) == 6


@pytest.mark.usefixtures("object_store")
def test_a_server_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "_NUM_ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    store = ArtifactStore(f"s3://results/a?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1")
    with pytest.raises(
        StorageError, match=r"Could not connect to server.*; see that the store runs and that region and"
    ):
        store.has(KEY)
    assert time.monotonic() - started < 30


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            try:
                while True:
                    taken.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


@pytest.mark.usefixtures("object_store")
def test_a_server_that_never_answers_is_given_up(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "_SILENCE_TIMEOUT_S", 1.0)
    monkeypatch.setattr(store_access, "_NUM_ATTEMPTS", 2)
    store = ArtifactStore(
        f"s3://results/a?endpoint_override=127.0.0.1:{silent_port}&scheme=http&region=us-east-1"
    )
    started = time.monotonic()
    with pytest.raises(StorageError, match="Timeout was reached"):
        store.has(KEY)
    assert time.monotonic() - started < 30


def test_a_bucket_that_is_not_there_is_named(object_store: ObjectStore) -> None:
    store = ArtifactStore(object_store.address("a", bucket="nobody"))
    for ask in (store.check, lambda: store.has(KEY), lambda: store.put(KEY, ARTIFACT)):
        with pytest.raises(
            StorageError, match="must have its bucket, but there is no 'nobody'; make the bucket"
        ):
            ask()


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized"])
def test_who_may_not_is_told_where_credentials_come_from(
    address: str, object_store: ObjectStore, status: str
) -> None:
    object_store.fault = lambda _: status
    with pytest.raises(StorageError, match=r"must answer, but: .*; see that AWS_ACCESS_KEY_ID and"):
        ArtifactStore(address).has(KEY)


def test_who_may_read_but_not_write_is_told_before_anything_is_computed(
    store: ArtifactStore, object_store: ObjectStore
) -> None:
    store.put(KEY, ARTIFACT)

    def read_only(environ: WSGIEnvironment) -> str | None:
        return "403 Forbidden" if environ["REQUEST_METHOD"] in {"PUT", "POST"} else None

    object_store.fault = read_only
    assert store.get(KEY) is not None
    with pytest.raises(StorageError, match=r"list, read, write and delete there"):
        store.check()


def test_a_try_leaves_nothing(store: ArtifactStore, address: str, object_store: ObjectStore) -> None:
    store.check()
    assert object_store.objects(address) == []


def test_googles_store_that_does_not_answer_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "_RETRY_LIMIT", timedelta(seconds=1))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = ArtifactStore(f"gs://bucket/a?endpoint_override=127.0.0.1:{port}&scheme=http")
    with pytest.raises(StorageError, match=r"store gs://bucket/a\?.* must answer, but: .*; see [^{}]*$"):
        store.has(KEY)


def test_another_region_is_said(address: str, object_store: ObjectStore) -> None:
    object_store.fault = lambda _: "301 Moved Permanently"
    with pytest.raises(StorageError, match=r"name the bucket's region in the address: \?region=NAME"):
        ArtifactStore(address).has(KEY)
