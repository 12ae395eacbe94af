"""One run of a method in every stage, small enough for a test."""

from __future__ import annotations

from pruning_core.config import PruningConfig, load_config
from pruning_core.method_names import MethodName


def tiny_run(method: MethodName) -> PruningConfig:
    """Return a run of a network of 8 layers with a single epoch of everything."""
    return load_config(
        {
            "architecture": {"name": "cifar_resnet8", "width": 0.5},
            "method": method,
            "channels": {"scope": "all"},
            "dense_training": {"epochs": 1, "batch_size": 32},
            "budgets": {"macs": 0.6},
            "saliency": {
                "max_num_basis": 1,
                "predictor": {"epochs": 1, "batch_size": 32},
                "selector": {"epochs": 1, "batch_size": 32},
            },
            "gates": {"steps": 5, "batch_size": 32, "num_images": 64},
            "importance": {"num_images": 64, "num_positions": 64},
            "fine_tuning": {"epochs": 1, "batch_size": 32},
        }
    )
