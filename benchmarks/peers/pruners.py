"""Tools that prune: what is installed for them. `benchmarks.quality` compares them with ours."""

from __future__ import annotations

from importlib.metadata import version

from benchmarks.peers.methods import Peer

__all__ = ["PRUNERS"]

_RUNNER = "benchmarks.peers.runners.prune_network"


def _ours(*names: str) -> tuple[str, ...]:
    """Return packages in the versions that we run on, without the build's name."""
    return tuple(f"{name}=={version(name).partition('+')[0]}" for name in names)


_RUN = _ours("torch", "torchvision", "torch-pruning", "pydantic", "safetensors", "numpy", "pillow", "pyyaml")
"""What a run of ours needs: data, dense network, fine-tuning and counting are the same code for all."""

_UNDECLARED = ("requests", "huggingface_hub", "torchprofile==0.0.4")
"""What ModelOpt imports without requiring it; later versions of the last lack what it asks for."""

PRUNERS: dict[str, Peer] = {
    "Torch-Pruning": Peer(
        environment=None,
        requirements=_ours("torch-pruning"),
        runner=(_RUNNER, "torch_pruning"),
        licence="MIT",
    ),
    "ModelOpt": Peer(
        environment="modelopt",
        requirements=("nvidia-modelopt==0.47.0", *_UNDECLARED, *_RUN),
        runner=(_RUNNER, "fastnas"),
    ),
}
