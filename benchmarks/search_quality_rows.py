"""Whose searches `benchmarks.search_quality` compares, and on which work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.dotted_names import nested
from benchmarks.quality_rows import Preset, Row, shared_settings
from pruning_core.config import PruningConfig, load_config
from search.spec import SearchSpec

__all__ = ["PRESETS", "REFERENCE", "ROWS", "OurSearch", "PeerSearch", "peer_config", "search_spec"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OurSearch:
    """A search by ``prunefront launch``.

    ``sampler``, ``halving``: of the spec. ``run``: changes to its runs. ``search``: what varies besides `_RECIPE`.
    """

    sampler: str
    halving: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerSearch:
    """Another tool prunes, Optuna proposes, and every network is fine-tuned to its end.

    ``tool``: what prunes. ``stages``: of the network, for each of which the proposer varies the ratio of channels that
    go, beside the recipe; without any, the tool is told a budget, and ``shares`` of the MACs are tried, evenly spread
    over their logarithm.
    """

    tool: Row
    stages: tuple[str, ...] = ()
    shares: tuple[float, float] = (0.15, 0.8)


_RECIPE: Mapping[str, Mapping[str, Any]] = {
    "fine_tuning.learning_rate": {"low": 0.003, "high": 0.3, "log": True},
    "fine_tuning.distillation.weight": {"low": 0.0, "high": 0.9},
}
"""What every search varies besides how much it removes."""
_BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "budgets.macs": {"low": 0.15, "high": 0.8, "log": True},
    "budgets.params": {"low": 0.15, "high": 0.9, "log": True},
}
_STEERING: Mapping[str, Mapping[str, Any]] = {
    "saliency.num_basis": {"choices": [1, 2, 4]},
    "loss_weights.steering": {"low": 0.1, "high": 10, "log": True},
    "gates.learning_rate": {"low": 0.01, "high": 0.3, "log": True},
}
_STEERED: Mapping[str, Any] = {
    "gates.network_weights": "joint",
    "saliency.max_num_basis": 4,
    "saliency.predictor.epochs": 6,
    "saliency.selector.epochs": 3,
}
_STOPPING = {"rule": "stopping", "eta": 2, "rungs": [1, 2]}
REFERENCE = "random search over L1"

ROWS: dict[str, OurSearch | PeerSearch] = {
    "ours: steering, along the front": OurSearch(
        sampler="along_front", halving=_STOPPING, run=_STEERED, search={**_BUDGETS, **_STEERING}
    ),
    "ours: steering, known costs": OurSearch(
        sampler="known_costs", halving=_STOPPING, run=_STEERED, search={**_BUDGETS, **_STEERING}
    ),
    "ours: task-inspired, known costs": OurSearch(
        sampler="known_costs", halving=_STOPPING, run={"method": "task_inspired"}, search=_BUDGETS
    ),
    REFERENCE: OurSearch(sampler="random", run={"method": "l1"}, search=_BUDGETS),
    "TPE over Torch-Pruning's ratios": PeerSearch(
        tool=Row(peer="Torch-Pruning", options={"importance": "group_norm", "is_global": False}),
        stages=("conv1", "layer1", "layer2", "layer3"),
    ),
    "FastNAS at several budgets": PeerSearch(tool=Row(peer="ModelOpt", options={"channel_divisor": 1})),
}

_SMALL: Mapping[str, Any] = {
    "architecture": {"name": "cifar_resnet8", "width": 0.5},
    "images": 7_500,
    "validation_share": 0.3333,
    "num_train": 5_000,
    "dense_epochs": 20,
    "epochs": 4,
    "budgets": (1.0,),
}
PRESETS: dict[str, Preset] = {
    "cpu": Preset(title="A narrow ResNet-8 on CIFAR-10", file="cifar10.npz", **_SMALL),
    "cpu-fashion": Preset(title="A narrow ResNet-8 on Fashion-MNIST", file="fashion_mnist.npz", **_SMALL),
    "gpu": Preset(
        title="ResNet-20 on CIFAR-10",
        file="cifar10.npz",
        architecture={"name": "cifar_resnet20"},
        dense_epochs=200,
        epochs=30,
        budgets=(1.0,),
        device="cuda",
    ),
}


def _run_settings(preset: Preset, data: str, seed: int) -> dict[str, Any]:
    """Return what the runs of all searches share."""
    return {
        **shared_settings(preset, data, seed),
        "channels.scope": "all",
        "fine_tuning.epochs": preset.epochs,
        **preset.changes,
    }


def peer_config(
    preset: Preset, data: str, seed: int, recipe: Mapping[str, Any], share: float
) -> PruningConfig:
    """Return the run of one network of a peer's search: all but its channels."""
    settings = {**_run_settings(preset, data, seed), "method": "l1", "budgets.macs": share, **recipe}
    return load_config(nested(settings))


def search_spec(
    preset: Preset,
    ours: OurSearch,
    data: str,
    *,
    study: str,
    seed: int,
    trials: int,
    slots: int,
    storage: str,
) -> SearchSpec:
    """Return the spec of one of our searches, ended by its number of trials."""
    run = nested({**ours.run, **_run_settings(preset, data, seed)})
    gpus = 1 / slots if preset.device == "cuda" else 0
    return SearchSpec.model_validate(
        {
            "study": study,
            "run": run,
            "search": {**ours.search, **_RECIPE},
            "sampler": {"name": ours.sampler, "seed": seed},
            "halving": dict(ours.halving),
            "limits": {"trials": trials},
            "resources": {"slots": slots, "cpus_per_trial": 1, "gpus_per_trial": gpus},
            "storage": {"path": storage},
        }
    )
