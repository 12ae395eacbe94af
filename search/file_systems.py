"""Folders that are on another machine: a database file is not safe there."""

from __future__ import annotations

from pathlib import Path

from pruning_core.errors import StorageError

__all__ = ["network_file_system", "refuse_database_file"]

_MOUNTS = Path("/proc/self/mounts")
_OF_NETWORKS = frozenset(
    [
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "smb3",
        "smbfs",
    ]
)


def network_file_system(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of the network file system that a folder is on, or will be.

    None: it is on a disk of this machine, as far as is known; systems without such a list of mounts do not tell.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    place = place.resolve()
    found: tuple[int, str] | None = None
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, target, kind, *_ = line.split(" ")
        where = Path(target.encode().decode("unicode_escape"))  # spaces are written as \040
        if place.is_relative_to(where) and (found is None or len(where.parts) >= found[0]):
            found = len(where.parts), kind
    return found[1] if found is not None and found[1] in _OF_NETWORKS else None


def refuse_database_file(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Refuse to keep MLflow's database in a folder of another machine.

    Its locks do not hold there, so that a second reader or writer can spoil it.

    Raises:
        StorageError: The folder is on a network file system.
    """
    kind = network_file_system(folder, mounts)
    if kind is not None:
        raise StorageError(
            f"MLflow's database file must lie on a disk of this machine, but {folder} is on a network file system "
            f"({kind}); name a server with storage.mlflow=http://HOST:5000, or keep studies here and finished stages "
            f"there: storage.path=results storage.artifacts={folder.absolute() / 'artifacts'}"
        )
