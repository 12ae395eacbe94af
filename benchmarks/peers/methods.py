"""The peers: what is installed for them, and what runs them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PEERS", "Peer"]

_SYNE_TUNE = ("syne-tune==0.16.0", "huggingface-hub")  # its simulator imports the latter
_NEPS = ("neural-pipeline-search==0.17.0",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """``environment``: its folder's name; None: it is among our own packages. ``requirements``: what it needs.

    ``runner``: module and arguments. ``licence``: under which it may be used; nothing of it is copied.
    """

    environment: str | None
    requirements: tuple[str, ...]
    runner: tuple[str, ...]
    licence: str = "Apache-2.0"


PEERS: dict[str, Peer] = {
    "Syne Tune MOASHA": Peer(
        environment="syne-tune",
        requirements=_SYNE_TUNE,
        runner=("benchmarks.peers.runners.syne_tune_moasha",),
    ),
    "NePS MOASHA": Peer(
        environment="neps",
        requirements=_NEPS,
        runner=("benchmarks.peers.runners.neps_ask_tell", "moasha"),
    ),
    "NePS PriMO": Peer(
        environment="neps",
        requirements=_NEPS,
        runner=("benchmarks.peers.runners.neps_ask_tell", "primo"),
    ),
}
