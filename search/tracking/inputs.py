"""The data set and the dense network as inputs of a study's run in MLflow. Imports mlflow, which takes seconds.

Written from the facts that were noted when the study began; a second write adds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModel, LoggedModelInput, LoggedModelStatus
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

__all__ = ["DENSE_MODEL", "STUDY_ID", "dataset_of", "log_inputs"]

STUDY_ID = "study.id"
"""Tag of everything in MLflow that belongs to a study."""
DENSE_MODEL = "dense"
"""Name of the logged model that stands for the dense network."""
_LONGEST_DIGEST = 36  # characters that MLflow keeps; the profile has all of the fingerprint
_CONTEXT = "training + validation"


def log_inputs(
    client: MlflowClient, experiment_id: str, run_id: str, study_id: str, facts: Mapping[str, object]
) -> str:
    """Log data set and dense network as inputs of a run, and return the id of the network's logged model.

    Of a study that began with an earlier version less was noted: what is not known is left out.
    """
    dense = _find_dense(client, experiment_id, study_id)
    if dense is None:
        described = {name: facts[name] for name in ("architecture",) if name in facts} | _below(
            "dense", facts
        )
        params = {name: str(fact) for name, fact in described.items()}
        dense = client.create_logged_model(
            experiment_id, DENSE_MODEL, tags={STUDY_ID: study_id}, params=params
        )
    if dense.status != LoggedModelStatus.READY:
        client.finalize_logged_model(dense.model_id, LoggedModelStatus.READY)
    data = dataset_of(facts)
    inputs = [] if data is None else [DatasetInput(data, [InputTag(MLFLOW_DATASET_CONTEXT, _CONTEXT)])]
    client.log_inputs(run_id, inputs, [LoggedModelInput(dense.model_id)])
    return str(dense.model_id)


def dataset_of(facts: Mapping[str, object]) -> Dataset | None:
    """Describe the data: its digest is the fingerprint of all splits, pixel by pixel; its profile the rest.

    None if the facts do not name it.
    """
    if not {"dataset", "dataset.fingerprint"} <= facts.keys():
        return None
    name = str(facts["dataset"])
    return Dataset(
        name=name,
        digest=str(facts["dataset.fingerprint"])[:_LONGEST_DIGEST],
        source_type="prunefront",
        source=json.dumps({"dataset": name}),
        profile=json.dumps(_below("dataset", facts)),
    )


def _find_dense(client: MlflowClient, experiment_id: str, study_id: str) -> LoggedModel | None:
    query = f"tags.`{STUDY_ID}` = '{study_id}' AND name = '{DENSE_MODEL}'"
    found = client.search_logged_models([experiment_id], query, max_results=1)
    return found[0] if found else None


def _below(section: str, facts: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of a section by their names within it."""
    prefix = f"{section}."
    return {name.removeprefix(prefix): fact for name, fact in facts.items() if name.startswith(prefix)}
