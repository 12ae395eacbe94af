"""Training and evaluating classifiers."""

from __future__ import annotations

from pruning_core.training.batch_norm import reestimate_batch_norm
from pruning_core.training.classifier import TrainingHistory, make_optimiser, train_classifier
from pruning_core.training.evaluation import Evaluation, eval_mode, evaluate, predict_classes
from pruning_core.training.loss_watch import LossWatch
from pruning_core.training.losses import (
    classification_loss,
    distillation_loss,
    feature_distance,
    refuse_non_finite,
)
from pruning_core.training.map_reader import MapReader
from pruning_core.training.schedules import SCHEDULES, learning_rate_factor
from pruning_core.training.state import TrainingState, capture_state, restore_state
from pruning_core.training.teaching import Teacher

__all__ = [
    "make_optimiser",
    "train_classifier",
    "TrainingHistory",
    "TrainingState",
    "capture_state",
    "restore_state",
    "evaluate",
    "Evaluation",
    "eval_mode",
    "predict_classes",
    "reestimate_batch_norm",
    "classification_loss",
    "distillation_loss",
    "feature_distance",
    "refuse_non_finite",
    "LossWatch",
    "MapReader",
    "Teacher",
    "SCHEDULES",
    "learning_rate_factor",
]
