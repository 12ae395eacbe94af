"""Artifacts in folders: what is left on disk, and errors that say what to do.

What holds of folders and buckets alike is in tests/contracts/test_artifact_stores_contract.py.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning_core.artifact_places.folder import FolderPlace
from pruning_core.errors import StorageError
from pruning_core.kept_artifacts import artifact_folder
from pruning_core.stages.artifact_store import Artifact, ArtifactStore, network_tensors

KEY = "0123456789abcdef01234567"


def artifact(value: float = 1.0) -> Artifact:
    return Artifact(tensors={"weight": torch.full((2, 3), value)}, facts={"kept": [1, 2], "name": "ä"})


def test_the_first_of_two_writers_wins_and_nothing_else_is_left(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.put(KEY, artifact(1.0))
    store.put(KEY, artifact(2.0))
    found = store.get(KEY)
    assert found is not None
    assert found.tensors["weight"].max() == 1.0
    assert [path.name for path in artifact_folder(tmp_path, KEY).parent.iterdir()] == [KEY]


def test_a_writer_that_is_overtaken_keeps_the_others_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rename = ArtifactStore(tmp_path), Path.rename

    def overtaken(source: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        store.put(KEY, artifact(2.0))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    store.put(KEY, artifact(1.0))
    found = store.get(KEY)
    assert found is not None
    assert found.tensors["weight"].max() == 2.0
    assert [path.name for path in artifact_folder(tmp_path, KEY).parent.iterdir()] == [KEY]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(tmp_path)

    def full(*_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StorageError, match="must have room for the results, but is full"):
        store.put(KEY, artifact())
    assert not store.has(KEY)
    assert list(artifact_folder(tmp_path, KEY).parent.iterdir()) == []


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be writable, but is not"):
        ArtifactStore(tmp_path / "file").put(KEY, artifact())


def test_a_damaged_artifact_is_named_with_what_to_do(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.put(KEY, artifact())
    (artifact_folder(tmp_path, KEY) / "tensors.safetensors").write_bytes(b"torn")
    with pytest.raises(StorageError, match="delete that folder, and the stage runs again"):
        store.get(KEY)


def test_facts_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ArtifactStore(tmp_path).put(KEY, Artifact(facts={"loss": float("nan")}))
    assert not ArtifactStore(tmp_path).has(KEY)


def test_a_networks_tensors_are_copies() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    tensors = network_tensors(network)
    nn.init.zeros_(network[0].weight)  # type: ignore[arg-type]
    assert tensors["0.weight"].abs().sum() > 0
    assert set(tensors) == set(network.state_dict())


def partial_folder(tmp_path: Path, name: str, *, age_h: float) -> Path:
    """Make what a killed writer leaves."""
    folder = artifact_folder(tmp_path, KEY).parent / name
    folder.mkdir(parents=True)
    file = folder / "tensors.safetensors"
    file.write_bytes(b"torn")
    then = time.time() - 3600 * age_h
    for path in (file, folder):
        os.utime(path, (then, then))
    return folder


def test_a_sweep_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.put(KEY, artifact())
    os.utime(artifact_folder(tmp_path, KEY), (0, 0))
    old, young = (partial_folder(tmp_path, f".partial-{age}", age_h=age) for age in (25, 23))
    assert store.sweep() == 1
    assert (old.exists(), young.exists()) == (False, True)
    assert store.get(KEY) is not None


def test_a_writer_that_takes_days_keeps_its_folder(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    folder = partial_folder(tmp_path, ".partial-slow", age_h=50)
    os.utime(folder / "tensors.safetensors")
    assert store.sweep() == 0
    assert folder.exists()


def test_a_store_that_is_not_there_needs_no_sweep(tmp_path: Path) -> None:
    assert ArtifactStore(tmp_path / "new").sweep() == 0
    assert not (tmp_path / "new").exists()


def test_what_is_discarded_is_gone_and_may_be_discarded_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.put("aa0", Artifact(facts={"value": 1}))
    store.put("aa1", Artifact(facts={"value": 2}))
    assert store.among({"aa0", "aa1", "aa2"}) == {"aa0", "aa1"}
    for _ in range(2):
        store.discard("aa0")
    assert store.among({"aa0", "aa1", "aa2"}) == {"aa1"}
    assert [path.name for path in tmp_path.glob("v1/aa/*")] == ["aa1"]


def test_two_that_remove_an_artifact_at_once_do_no_harm(tmp_path: Path) -> None:
    store, place = ArtifactStore(tmp_path), FolderPlace(tmp_path)
    store.put("aa0", Artifact(facts={"value": 1}))
    for _ in range(2):  # the second one had seen it before the first removed it
        place.remove("aa0")
    assert list(tmp_path.glob("v1/aa/*")) == []
