"""How MLflow's pages show an experiment: as one of training, and with which columns.

A tag says that models are developed in the experiment; pages of single runs go by their address instead. MLflow has
no setting for the columns of an experiment, but can share a view: a tag of the experiment holds the state of the
table, and the tag's key in the address of the page applies it. This file does not import mlflow.
"""

from __future__ import annotations

import json

__all__ = ["EXPERIMENT_TAGS", "SHARED_VIEW"]

SHARED_VIEW = "prunefront"
"""The key of the view in an address: ``?viewStateShareKey=prunefront``."""
_COLUMNS = (
    "tags.`pareto.front`",
    "metrics.`accuracy`",
    "metrics.`accuracy_drop`",
    "metrics.`accuracy_after_removal`",
    "metrics.`macs_share`",
    "metrics.`params_share`",
    "metrics.`explanation_similarity`",
    "tags.`method`",
    "tags.`status`",
)
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{SHARED_VIEW}": json.dumps(
        {"orderByKey": "metrics.`accuracy`", "orderByAsc": False, "selectedColumns": _COLUMNS}
    ),
}
"""Tags of every study's experiment."""
