"""The command that writes a public data set as one .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import data as fetching
from pruning_core.config import DatasetConfig
from pruning_core.data import load_data


class SmallSet:
    """A torchvision set that is always there."""

    data: Any
    targets: Any
    classes: list[str]

    def __init__(self, root: str, *, train: bool, download: bool) -> None:  # noqa: ARG002  # torchvision's signature
        num_images = 40 if train else 20
        self.data = np.arange(num_images * 48).astype(np.uint8).reshape(num_images, 4, 4, 3)
        self.targets = [label % 2 for label in range(num_images)]
        self.classes = ["even", "odd"]


class OfflineSet:
    """A torchvision set that cannot be had."""

    data: Any
    targets: Any
    classes: list[str]

    def __init__(self, root: str, *, train: bool, download: bool) -> None:  # noqa: ARG002  # torchvision's signature
        raise RuntimeError("no route to host")


def test_the_archive_can_be_read_as_a_data_set_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = fetching.write_archive("small", tmp_path / "new", SmallSet)
    splits = load_data(DatasetConfig(name="npz", root=str(path)))
    assert splits.class_names == ("even", "odd")
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (40, 20)
    assert [entry.name for entry in path.parent.iterdir()] == ["small.npz"]


def test_a_finished_archive_is_kept(tmp_path: Path) -> None:
    (tmp_path / "small.npz").write_bytes(b"finished")
    assert fetching.write_archive("small", tmp_path, OfflineSet).read_bytes() == b"finished"


def test_without_network_the_command_says_so_and_leaves_no_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fetching.SETS, "cifar10", OfflineSet)
    assert fetching.main(["cifar10", "--out", str(tmp_path)]) == 2
    assert "the download failed (no route to host)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
