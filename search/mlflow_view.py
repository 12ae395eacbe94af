"""Which columns MLflow's table of runs shows when it is opened by the link that `prunefront ui` prints.

MLflow has no setting for the columns of an experiment. It can share a view: a tag of the experiment holds the state
of the table, and the tag's key in the address of the page applies it. This file does not import mlflow.
"""

from __future__ import annotations

import json

__all__ = ["SHARED_VIEW", "SHARED_VIEW_TAG", "SHARED_VIEW_VALUE"]

SHARED_VIEW = "prunefront"
"""The key of the view in an address: ``?viewStateShareKey=prunefront``."""
SHARED_VIEW_TAG = f"mlflow.sharedViewState.{SHARED_VIEW}"
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
SHARED_VIEW_VALUE = json.dumps(
    {"orderByKey": "metrics.`accuracy`", "orderByAsc": False, "selectedColumns": _COLUMNS}
)
