"""The rows of `benchmarks.ablation`: what differs between runs, and what all of them share."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.arguments import cell_settings
from benchmarks.dotted_names import nested
from pruning_core.config import PruningConfig, load_config

__all__ = ["REFERENCE", "RIVAL", "ROWS", "SHIPPED", "gate_epochs", "make_config"]

_GATE_EPOCHS = "gate epochs"
"""No field of a run: how many times the ``--gate-steps``, for rows that fine-tune for as many epochs less."""

JOINT = {"gates.network_weights": "joint"}
FROZEN = {"gates.network_weights": "frozen"}
INSIDE = {"gates.widths": "allocated"}
BY_COST = {"importance.allocation": "cost"}
BY_FEATURES = {"fine_tuning.distillation.features": 10.0}
MULTIPLIERS = {"gates.budget_term": "lagrangian", "gates.dual_restarts": True}
TAUGHT_GATES = {"gates.task_loss": "distillation"}
TAUGHT_BY_BOTH = {"gates.task_loss": "mixed"}
UP_TO_EIGHT = {"saliency.max_num_basis": 8}
"""One predictor for rows that differ in the number of basis functions."""
AT_ONCE = {"fine_tuning.warmup_epochs": 0.0}
"""Fine-tuning begins at its full learning rate."""
LABELS_ALONE = {"fine_tuning.distillation.weight": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "random": {"method": "random"},
    "L1, uniform": {"method": "l1"},
    "L1, uniform, taught by features too": {"method": "l1", **BY_FEATURES},
    "L1, uniform, taught by labels alone": {"method": "l1", **LABELS_ALONE},
    "L1, uniform, reconstructed": {"method": "l1", "recovery.reconstruct": True},
    "L1, uniform, no warm-up": {"method": "l1", **AT_ONCE},
    "L1, by cost": {"method": "l1", **BY_COST},
    "L1, by cost, all groups": {"method": "l1", **BY_COST, "channels.scope": "all"},
    "L2, uniform": {"method": "l2"},
    "FPGM, uniform": {"method": "fpgm"},
    "BN scale, global": {"method": "bn_scale"},
    "LAMP, global": {"method": "lamp"},
    "Taylor, global": {"method": "taylor"},
    "attribution, global": {"method": "attribution"},
    "TF-IDF, uniform": {"method": "tf_idf"},
    "group L2, global": {"method": "group_norm"},
    "group L2, global, all groups": {"method": "group_norm", "channels.scope": "all"},
    "group L2, global, reconstructed": {"method": "group_norm", "recovery.reconstruct": True},
    "group L2, global, taught by features too": {"method": "group_norm", **BY_FEATURES},
    "group L2, global, all groups, taught by features too": {
        "method": "group_norm",
        "channels.scope": "all",
        **BY_FEATURES,
    },
    "task-inspired": {"method": "task_inspired"},
    "task-inspired, flow alone": {"method": "task_inspired", "importance.task_weight": 0.0},
    "task-inspired, task loss": {"method": "task_inspired", "importance.allocation": "task_loss"},
    "gates, frozen weights": FROZEN,
    "gates, frozen weights, steering 0": {**FROZEN, "loss_weights.steering": 0.0},
    "gates, frozen weights, taught by features too": {**FROZEN, **BY_FEATURES},
    "gates, frozen weights, from group L2": {**FROZEN, "gates.prior": "group_norm"},
    "gates, frozen weights, from task-inspired": {**FROZEN, "gates.prior": "task_inspired"},
    "gates, frozen weights, inside L1 widths": {**FROZEN, **INSIDE, "gates.prior": "l1"},
    "gates, frozen weights, inside group L2 widths": {**FROZEN, **INSIDE, "gates.prior": "group_norm"},
    "gates, joint": JOINT,
    "gates, joint, steering 0": {**JOINT, "loss_weights.steering": 0.0},
    "gates, joint, steered by features": {**JOINT, "gates.steer_by": "features"},
    "gates, joint, steered by outputs": {**JOINT, "gates.steer_by": "outputs"},
    "gates, joint, shuffled targets": {**JOINT, "gates.targets": "shuffled"},
    "gates, joint, constant targets": {**JOINT, "gates.targets": "constant"},
    "gates, joint, taught by features too": {**JOINT, **BY_FEATURES},
    "gates, joint, taught by labels alone": {**JOINT, **LABELS_ALONE},
    "gates, joint, budget by multipliers": {**JOINT, **MULTIPLIERS},
    "gates, joint for two epochs": {**JOINT, _GATE_EPOCHS: 2},
    "gates, joint for three epochs": {**JOINT, _GATE_EPOCHS: 3},
    "gates, joint, gates taught by outputs": {**JOINT, **TAUGHT_GATES},
    "gates, joint, gates taught by both": {**JOINT, **TAUGHT_BY_BOTH},
    "gates, joint, no warm-up": {**JOINT, **AT_ONCE},
    "gates, joint, gates taught by both, no warm-up": {**JOINT, **TAUGHT_BY_BOTH, **AT_ONCE},
    "gates, joint for two epochs, gates taught by both, no warm-up": {
        **JOINT,
        **TAUGHT_BY_BOTH,
        **AT_ONCE,
        _GATE_EPOCHS: 2,
    },
    "gates, joint for three epochs, gates taught by both, no warm-up": {
        **JOINT,
        **TAUGHT_BY_BOTH,
        **AT_ONCE,
        _GATE_EPOCHS: 3,
    },
    "gates, joint, gates taught by both, all groups": {**JOINT, **TAUGHT_BY_BOTH, "channels.scope": "all"},
    "gates, joint for three epochs, all groups, taught throughout": {
        **JOINT,
        **TAUGHT_GATES,
        **BY_FEATURES,
        "channels.scope": "all",
        _GATE_EPOCHS: 3,
    },
    "gates, joint, reconstructed": {**JOINT, "recovery.reconstruct": True},
    **{f"gates, joint, K = {k}": {**JOINT, "saliency.num_basis": k, **UP_TO_EIGHT} for k in (1, 2, 4, 8)},
    "gates, joint, K = 1, stretched": {**JOINT, "saliency.anisotropic": True},
    "gates, joint, all groups": {**JOINT, "channels.scope": "all"},
    "gates, joint, from group L2": {**JOINT, "gates.prior": "group_norm"},
    "gates, joint, from task-inspired": {**JOINT, "gates.prior": "task_inspired"},
    "gates, joint, inside L1 widths": {**JOINT, **INSIDE, "gates.prior": "l1"},
    "gates, joint, inside L1 widths, gates taught by both, no warm-up": {
        **JOINT,
        **INSIDE,
        **TAUGHT_BY_BOTH,
        **AT_ONCE,
        "gates.prior": "l1",
    },
    "gates, joint, inside L1 widths by cost": {**JOINT, **INSIDE, "gates.prior": "l1", **BY_COST},
    "gates, joint, inside group L2 widths": {**JOINT, **INSIDE, "gates.prior": "group_norm"},
}
REFERENCE = "L1, uniform"
RIVAL = "group L2, global"
"""The other row that the shipped default must beat."""
SHIPPED = "gates, joint"
"""The row whose settings are the defaults."""


def make_config(args: argparse.Namespace, row: str, macs: float, seed: int) -> PruningConfig:
    """Return the run of one cell of the table."""
    changes = dict(ROWS[row])
    times = changes.pop(_GATE_EPOCHS, 1)
    is_joint = changes.get("gates.network_weights") == "joint"
    return load_config(
        nested(
            {
                **cell_settings(args, macs, seed),
                "saliency.seed": seed,
                "saliency.predictor.epochs": args.saliency_epochs[0],
                "saliency.selector.epochs": args.saliency_epochs[1],
                "gates.steps": times * args.gate_steps,
                "fine_tuning.epochs": args.epochs - (times * gate_epochs(args) if is_joint else 0),
                **changes,
            }
        )
    )


def gate_epochs(args: argparse.Namespace) -> int:
    """Return how many epochs of updates the ``--gate-steps`` are."""
    num_train: int = round(args.images * (1 - args.validation_share))
    num_images: int = args.gate_steps * 128
    return max(1, round(num_images / num_train))
