"""An environment for each peer, so that none of its packages meets ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.methods import Peer
from pruning_core.errors import PrunefrontError

__all__ = ["PeerError", "make_environment"]

_LAST_LINES = 3


class PeerError(PrunefrontError):
    """A peer cannot be installed or run here; the text says why."""


def make_environment(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made the first time it is asked for; or our own.

    Args:
        peer: Whose.
        folder: Holds the environments of all peers.

    Raises:
        PeerError: Its packages cannot be installed.
    """
    if peer.environment is None:
        return Path(sys.executable)
    place = folder / peer.environment
    python = place / "bin" / "python"
    ready = place / f"{peer.requirements[0]}.installed"
    if ready.exists():
        return python
    venv.create(place, with_pip=True, clear=True)
    done = subprocess.run(  # noqa: S603 - requirements are ours
        [python, "-m", "pip", "install", "--quiet", *peer.requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise PeerError(
            f"{peer.requirements[0]} must be installable into {place} with Python {sys.version.split()[0]}, "
            f"but pip said: {said}; leave the peer out with --rows"
        )
    ready.touch()
    return python
