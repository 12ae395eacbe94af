"""What is renamed into its place is on the disk before, and its new name after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pruning_core.artifact_places.folder import FolderPlace
from pruning_core.kept_artifacts import FACTS_FILE, TENSORS_FILE, artifact_folder
from search.disk import write_whole


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What is flushed, by where it lay then, and what is renamed, in order."""
    seen: list[tuple[str, Path]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def see_fsync(descriptor: int) -> None:
        seen.append(("flushed", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def see_rename(path: Path, target: Path) -> Path:
        seen.append(("renamed to", target))
        return rename(path, target)

    def see_replace(path: Path, target: Path) -> Path:
        seen.append(("renamed to", target))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(Path, "rename", see_rename)
    monkeypatch.setattr(Path, "replace", see_replace)
    return seen


def test_an_artifact_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, order: list[tuple[str, Path]]
) -> None:
    key = "0123456789abcdef01234567"
    FolderPlace(tmp_path).write(key, b"tensors", "{}")
    target = artifact_folder(tmp_path, key)
    renamed = order.index(("renamed to", target))
    before, after = order[:renamed], order[renamed + 1 :]
    (partial,) = {path.parent for _, path in before if path.name == TENSORS_FILE}
    assert before == [
        ("flushed", partial / TENSORS_FILE),
        ("flushed", partial / FACTS_FILE),
        ("flushed", partial),
    ]
    assert after == [("flushed", target.parent)]
    assert (target / TENSORS_FILE).read_bytes() == b"tensors"


def test_a_file_is_on_the_disk_before_it_replaces_another(
    tmp_path: Path, order: list[tuple[str, Path]]
) -> None:
    path = tmp_path / "picks.json"
    write_whole(path, "{}")
    (what, partial), *rest = order
    assert (what, partial.parent) == ("flushed", tmp_path)
    assert partial != path
    assert rest == [("renamed to", path), ("flushed", tmp_path)]
