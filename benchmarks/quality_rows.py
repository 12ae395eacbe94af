"""What `benchmarks.quality` compares, and on which work: networks, data, budgets, epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.dotted_names import nested
from pruning_core.config import PruningConfig, load_config

__all__ = ["FIRST", "PRESETS", "REFERENCE", "ROWS", "Preset", "Row", "config_of", "shared_settings"]

_BATCH = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One way to prune.

    Attributes:
        changes: Fields of the run, dotted; all others are the defaults.
        peer: Whose tool chooses the channels; None: ours.
        options: What the peer is told.
        training_epochs: Of the updates that every row has, so many happen before channels are removed.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    peer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    training_epochs: int = 0


_JOINT = {"gates.network_weights": "joint"}
_TP = "Torch-Pruning"

ROWS: dict[str, Row] = {
    "ours: default": Row(changes=_JOINT, training_epochs=1),
    "L1, uniform": Row(changes={"method": "l1"}),
    "ours: all groups": Row(changes={**_JOINT, "channels.scope": "all"}, training_epochs=1),
    "ours: task-inspired": Row(changes={"method": "task_inspired"}),
    "ours: hybrid": Row(changes={**_JOINT, "gates.prior": "task_inspired"}, training_epochs=1),
    "ours: gates as in the paper": Row(changes={"gates.network_weights": "frozen"}),
    "Torch-Pruning: group norm, global": Row(
        peer=_TP, options={"importance": "group_norm", "is_global": True}
    ),
    "Torch-Pruning: group norm, local": Row(
        peer=_TP, options={"importance": "group_norm", "is_global": False}
    ),
    "Torch-Pruning: group norm, global, regularised": Row(
        peer=_TP,
        options={"importance": "group_norm", "is_global": True, "is_regularised": True},
        training_epochs=1,
    ),
    "Torch-Pruning: BN scale, global": Row(peer=_TP, options={"importance": "bn_scale", "is_global": True}),
    "Torch-Pruning: BN scale, global, regularised": Row(
        peer=_TP,
        options={"importance": "bn_scale", "is_global": True, "is_regularised": True},
        training_epochs=1,
    ),
    "Torch-Pruning: Taylor, global": Row(peer=_TP, options={"importance": "taylor", "is_global": True}),
    "Torch-Pruning: Taylor, local": Row(peer=_TP, options={"importance": "taylor", "is_global": False}),
    "ModelOpt: FastNAS": Row(peer="ModelOpt", options={"channel_divisor": 4}),
    "ModelOpt: FastNAS, every width": Row(peer="ModelOpt", options={"channel_divisor": 1}),
    "random": Row(changes={"method": "random"}),
}
"""In order of worth."""
REFERENCE = "L1, uniform"
FIRST = ("ours: default", REFERENCE)
"""Rows that are filled before all others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One table.

    Attributes:
        title: Of its page.
        file: Of the data, as ``python -m benchmarks.data`` writes it.
        architecture: Fields of that section.
        images: Training images that are used, validation images among them; None: all.
        validation_share: Of the training images.
        dense_epochs: Of the dense network.
        epochs: Of updates of the weights after it, in every row.
        budgets: Shares of the MACs that are kept.
        changes: Fields that all rows share besides.
        device: That it is meant for.
    """

    title: str
    file: str
    architecture: Mapping[str, Any]
    images: int | None = None
    test_images: int | None = None
    validation_share: float = 0.1
    num_train: int = 45_000
    dense_epochs: int
    epochs: int
    budgets: tuple[float, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"


PRESETS: dict[str, Preset] = {
    "cpu": Preset(
        title="ResNet-20 on CIFAR-10, on a CPU",
        file="cifar10.npz",
        architecture={"name": "cifar_resnet20"},
        dense_epochs=20,
        epochs=5,
        budgets=(0.5, 0.25, 0.73, 0.35),
        # 1,400 and 700 steps; with the defaults, saliency networks would take longer than the dense one
        changes={"saliency.predictor.epochs": 4, "saliency.selector.epochs": 2},
    ),
    "cpu-fashion": Preset(
        title="Narrow MobileNetV2 on Fashion-MNIST, on a CPU",
        file="fashion_mnist.npz",
        architecture={"name": "torchvision:mobilenet_v2", "width": 0.5},
        num_train=54_000,
        dense_epochs=10,
        epochs=4,
        budgets=(0.5,),
    ),
    "gpu-resnet20": Preset(
        title="ResNet-20 on CIFAR-10, on a GPU",
        file="cifar10.npz",
        architecture={"name": "cifar_resnet20"},
        dense_epochs=200,
        epochs=100,
        budgets=(0.73, 0.5, 0.35, 0.25),
        device="cuda",
    ),
    "gpu-resnet56": Preset(
        title="ResNet-56 on CIFAR-10, on a GPU",
        file="cifar10.npz",
        architecture={"name": "cifar_resnet56"},
        dense_epochs=200,
        epochs=100,
        budgets=(0.5, 0.39, 0.25),
        device="cuda",
    ),
}


def shared_settings(preset: Preset, data: str, seed: int) -> dict[str, Any]:
    """Return what all runs of a preset have in common: network, data, the dense network's training, seeds."""
    return {
        **{f"architecture.{name}": value for name, value in preset.architecture.items()},
        "dataset": {
            "name": "npz",
            "root": data,
            "train_images": preset.images,
            "test_images": preset.test_images,
            "validation_share": preset.validation_share,
        },
        "dense_training.epochs": preset.dense_epochs,
        "dense_seed": seed,
        "saliency.seed": seed,
        "seed": seed,
        "channels.round_to": 1,
        "gates.steps": preset.num_train // _BATCH,
    }


def config_of(preset: Preset, row: Row, data: str, *, macs: float, seed: int) -> PruningConfig:
    """Return the run of one cell; of a peer's row, what it shares with ours: data, dense network, fine-tuning."""
    return load_config(
        nested(
            {
                **shared_settings(preset, data, seed),
                "budgets.macs": macs,
                "fine_tuning.epochs": preset.epochs - row.training_epochs,
                **preset.changes,
                **({"method": "l1"} if row.peer is not None else row.changes),
            }
        )
    )
