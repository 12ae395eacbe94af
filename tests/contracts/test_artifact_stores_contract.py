"""Every kind of artifact store: whole artifacts or none, whoever writes, and the same answers to the same questions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from pruning_core.artifact_places import ArtifactPlace, open_place
from pruning_core.errors import StorageError
from pruning_core.kept_artifacts import artifact_folder
from pruning_core.stages.artifact_store import Artifact, ArtifactStore

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

KEY, OTHER = "0123456789abcdef01234567", "0123ffffffffffffffffffff"
ABSENT = "ff23456789abcdef01234567"
KINDS = ("folder", "file", "s3")


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    if request.param == "s3":
        store: ObjectStore = request.getfixturevalue("object_store")
        return store.new_address()
    folder = tmp_path / "new" / "with space"
    return str(folder) if request.param == "folder" else folder.as_uri()


@pytest.fixture
def store(address: str) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore(address)


@pytest.fixture
def place(address: str) -> ArtifactPlace:
    """The place of the same store, as readers without torch see it."""
    return open_place(address)


@pytest.fixture
def cut(address: str, request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Shorten what holds an artifact's tensors by some bytes, as nobody but a fault would."""

    def cut_file(key: str, num_bytes: int) -> None:
        root = Path(address.removeprefix("file://").replace("%20", " "))
        path = artifact_folder(root, key) / "tensors.safetensors"
        path.write_bytes(path.read_bytes()[:-num_bytes])

    def cut_object(key: str, num_bytes: int) -> None:
        server: ObjectStore = request.getfixturevalue("object_store")
        place = server.path_of(address, f"v1/{key[:2]}/{key}.safetensors")
        whole = server.client.get_object(**place)["Body"].read()
        server.client.put_object(**place, Body=whole[:-num_bytes])

    return cut_object if address.startswith("s3") else cut_file


def artifact(value: float = 1.0) -> Artifact:
    return Artifact(
        tensors={"weight": torch.full((2, 3), value), "empty": torch.zeros(0, 4)},
        facts={"kept": [1, 2], "name": "ä", "value": value},
    )


def test_what_was_put_comes_back(store: ArtifactStore, address: str) -> None:
    assert store.address in {address, address.removeprefix("file://").replace("%20", " ")}
    store.check()
    assert not store.has(KEY)
    assert store.get(KEY) is None
    store.put(KEY, artifact())
    found = store.get(KEY)
    assert store.has(KEY)
    assert found is not None
    assert torch.equal(found.tensors["weight"], torch.ones(2, 3))
    assert found.tensors["empty"].shape == (0, 4)
    assert found.facts == store.facts(KEY) == {"kept": [1, 2], "name": "ä", "value": 1.0}
    assert store.facts(OTHER) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8, torch.int64, torch.bool])
def test_numbers_of_every_kind_come_back_bit_by_bit(store: ArtifactStore, dtype: torch.dtype) -> None:
    numbers = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).mul(50).abs().to(dtype)
    store.put(KEY, Artifact(tensors={"numbers": numbers}))
    found = store.get(KEY)
    assert found is not None
    assert found.tensors["numbers"].dtype == dtype
    assert torch.equal(found.tensors["numbers"], numbers)


def test_what_is_read_can_be_changed_without_changing_what_is_kept(store: ArtifactStore) -> None:
    store.put(KEY, artifact())
    first = store.get(KEY)
    assert first is not None
    first.tensors["weight"].zero_()
    again = store.get(KEY)
    assert again is not None
    assert torch.equal(again.tensors["weight"], torch.ones(2, 3))


def test_the_first_of_two_writers_wins(store: ArtifactStore, address: str) -> None:
    store.put(KEY, artifact(1.0))
    ArtifactStore(address).put(KEY, artifact(2.0))
    found = store.get(KEY)
    assert found is not None
    assert found.facts["value"] == 1.0
    assert list(store.abandoned()) == []


def test_writers_of_one_key_at_once_leave_one_whole_artifact_at_any_time(address: str) -> None:
    def mixed(value: int) -> Artifact:
        weight = torch.full((value * 5000,), float(value))
        return Artifact(tensors={"weight": weight}, facts={"value": value, "length": "x" * value})

    problems: list[object] = []
    begin, is_over = threading.Barrier(5), threading.Event()

    def write(value: int) -> None:
        place = open_place(address)
        begin.wait()
        place_store = ArtifactStore(address)
        for _ in range(3):
            place_store.put(KEY, mixed(value))
        problems.extend([] if place.has(KEY) else ["nothing is there after a write"])

    def read() -> None:
        store = ArtifactStore(address)
        begin.wait()
        while not is_over.is_set():
            found = store.get(KEY)
            if found is None:
                continue
            value = found.facts["value"]
            expected = mixed(value)
            if found.facts != expected.facts or not torch.equal(
                found.tensors["weight"], expected.tensors["weight"]
            ):
                problems.append((value, found.facts))

    writers = [threading.Thread(target=write, args=(value,)) for value in (1, 2, 3, 4)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    is_over.set()
    reader.join()
    assert problems == []


def test_facts_that_are_not_numbers_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.put(KEY, Artifact(facts={"loss": float("nan")}))
    assert not store.has(KEY)


@pytest.mark.parametrize("num_bytes", [1, 24, 150])
def test_an_artifact_that_was_cut_is_named_with_what_to_do(
    store: ArtifactStore, place: ArtifactPlace, cut: Callable[[str, int], None], num_bytes: int
) -> None:
    for key in (KEY, OTHER):
        store.put(key, artifact())
    cut(KEY, num_bytes)
    with pytest.raises(StorageError, match=rf"{KEY}.* cannot be read \(.*\); delete .*the stage runs again"):
        store.get(KEY)
    assert list(place.unreadable([KEY, OTHER])) == [KEY]
    place.remove(KEY)
    assert not store.has(KEY)
    store.put(KEY, artifact(2.0))
    assert store.get(KEY) is not None


def test_many_are_asked_for_together(store: ArtifactStore, place: ArtifactPlace) -> None:
    assert place.among([KEY, ABSENT]) == frozenset()
    assert place.facts_of([KEY, ABSENT]) == {}
    store.put(KEY, artifact(1.0))
    store.put(OTHER, Artifact(facts={"long": "x" * 200_000}))
    assert place.among([ABSENT, KEY, OTHER]) == {KEY, OTHER}
    assert place.among([]) == frozenset()
    facts = place.facts_of([ABSENT, KEY, OTHER])
    assert (facts[KEY]["value"], len(facts[OTHER]["long"]), len(facts)) == (1.0, 200_000, 2)
    assert place.unreadable([KEY, OTHER]) == {}


def test_a_store_that_is_used_needs_no_sweep(store: ArtifactStore) -> None:
    assert (store.sweep(), list(store.abandoned())) == (0, [])
    store.put(KEY, artifact())
    assert store.sweep() == 0
    assert store.has(KEY)
