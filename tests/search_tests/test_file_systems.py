from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.errors import StorageError
from search.file_systems import network_file_system, refuse_database_file


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """A machine with a network folder, a local disk below it, and a folder with a space in its name."""
    (tmp_path / "shared/scratch").mkdir(parents=True)
    (tmp_path / "my data").mkdir()
    path = tmp_path / "mounts"
    path.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        f"server:/ {tmp_path}/shared nfs4 rw,vers=4.2 0 0\n"
        f"/dev/sdb1 {tmp_path}/shared/scratch xfs rw 0 0\n"
        f"//nas/d {tmp_path}/my\\040data cifs rw 0 0\n"
    )
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("", None),
        ("results", None),
        ("shared", "nfs4"),
        ("shared/results/not/there/yet", "nfs4"),
        ("shared/scratch/results", None),
        ("my data/results", "cifs"),
        ("shared-not/results", None),
    ],
)
def test_a_folder_is_on_what_is_mounted_nearest_above_it(
    tmp_path: Path, mounts: Path, folder: str, kind: str | None
) -> None:
    assert network_file_system(tmp_path / folder, mounts) == kind


def test_a_link_is_where_it_leads(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    assert network_file_system(tmp_path / "link" / "results", mounts) == "nfs4"


def test_without_a_list_of_mounts_nothing_is_known(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "none") is None


def test_what_mounted_last_counts(tmp_path: Path, mounts: Path) -> None:
    with mounts.open("a") as file:
        file.write(f"/dev/sdc1 {tmp_path}/shared ext4 rw 0 0\n")
    assert network_file_system(tmp_path / "shared", mounts) is None


def test_a_database_file_is_refused_with_what_to_do(tmp_path: Path, mounts: Path) -> None:
    with pytest.raises(
        StorageError, match=r"network file system \(nfs4\); name a server with storage.mlflow=http"
    ):
        refuse_database_file(tmp_path / "shared/results", mounts)
    refuse_database_file(tmp_path / "results", mounts)
