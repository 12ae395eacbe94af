"""Training and evaluating classifiers."""

from __future__ import annotations

from pruning_core.training.batch_norm import reestimate_batch_norm
from pruning_core.training.classifier import TrainingHistory, make_optimiser, train_classifier
from pruning_core.training.evaluation import Evaluation, eval_mode, evaluate
from pruning_core.training.losses import check_finite, classification_loss, distillation_loss
from pruning_core.training.schedules import SCHEDULES, learning_rate_factor
from pruning_core.training.state import TrainingState

__all__ = [
    "make_optimiser",
    "train_classifier",
    "TrainingHistory",
    "TrainingState",
    "evaluate",
    "Evaluation",
    "eval_mode",
    "reestimate_batch_norm",
    "classification_loss",
    "distillation_loss",
    "check_finite",
    "SCHEDULES",
    "learning_rate_factor",
]
