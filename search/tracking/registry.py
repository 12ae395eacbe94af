"""MLflow's model registry: one registered model per study, one version per network, aliases for their roles.

Everything can be repeated: a version is found by its trial key before it is made. Imports mlflow, which takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from reports.formats import amount, percent, slim_accuracy
from reports.fronts import scores_of
from reports.records import TrialRecord, to_metrics, to_params
from search.tracking.inputs import STUDY_ID
from search.tracking.projection import MlflowProjection

__all__ = ["ALIASES", "RegisteredVersion", "Registry", "SaveModel"]

ALIASES = ("smallest", "balanced", "most-accurate", "champion")
"""Every alias that this project sets."""
_TRIAL_KEY = "trial.key"
_TAGGED_METRICS = (
    *("accuracy", "accuracy_dense", "test_accuracy", "test_accuracy_dense"),
    *("macs", "macs_share", "params", "params_share", "latency_ms", "activation_memory"),
    "explanation_similarity",
)
_DESCRIPTION = """\
Networks that a search for slimmer ones found. Each takes a batch of images, float32 in NCHW order with pixels as shares
of 255 in [0, 1], and gives logits; `metadata.class_names` of the model names them. Aliases: `champion` is the network
that was picked, `smallest`, `balanced` (the knee) and `most-accurate` are of the front. Accuracies are of validation
images unless they say `test`."""

SaveModel = Callable[[Path, Mapping[str, str]], None]
"""Writes an MLflow model to a folder that does not exist yet; also given the ids that the model is to carry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredVersion:
    """A network in the registry. ``is_new``: this call made it."""

    number: str
    is_new: bool


class Registry:
    """The registered model of a study, made on the first call; named after the study.

    Args:
        projection: What MLflow has of the study.
        study: Its name.
        study_id: Tells it from another study of the same name, whose versions are left alone.
    """

    def __init__(self, projection: MlflowProjection, study: str, study_id: str) -> None:
        self._projection = projection
        mlflow.set_tracking_uri(projection.uri)  # what the registry resolves ``models:/`` addresses by
        self._client: MlflowClient = projection.client
        self._name = study
        self._study_id = study_id
        try:
            self._client.get_registered_model(study)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            self._client.create_registered_model(study, description=_DESCRIPTION)
        found = self._client.search_model_versions(f"name = '{study}'", max_results=1000)
        self._versions = {
            version.tags[_TRIAL_KEY]: str(version.version)
            for version in found
            if version.tags.get(STUDY_ID) == study_id
        }

    def add(self, record: TrialRecord, save: SaveModel) -> RegisteredVersion:
        """Return the version of a trial's network; make it if there is none. Its tags are brought up to date."""
        known = self._versions.get(record.trial_key)
        number = known or self._make_version(record, save)
        for name, value in version_tags(record).items():
            self._client.set_model_version_tag(self._name, number, name, value)
        self._versions[record.trial_key] = number
        return RegisteredVersion(number=number, is_new=known is None)

    def set_aliases(self, versions: Mapping[str, str]) -> None:
        """Let each of `ALIASES` mean a version; take away those that are not given."""
        current = self._client.get_registered_model(self._name).aliases
        for alias in ALIASES:
            if alias in versions:
                self._client.set_registered_model_alias(self._name, alias, versions[alias])
            elif alias in current:
                self._client.delete_registered_model_alias(self._name, alias)

    def fill_dense(self, save: SaveModel) -> None:
        """Give the dense network's logged model its files, unless it has them."""
        model_id = self._projection.dense_model_id
        if not self._client.list_logged_model_artifacts(model_id):
            self._write_files(model_id, {"model_id": model_id}, save)

    def _make_version(self, record: TrialRecord, save: SaveModel) -> str:
        model = self._logged_model(record, save)
        version = self._client.create_model_version(
            self._name,
            f"models:/{model.model_id}",
            run_id=self._projection.run_ids.get(record.trial_key),
            tags={STUDY_ID: self._study_id, _TRIAL_KEY: record.trial_key},
            description=version_description(record),
            model_id=model.model_id,
        )
        return str(version.version)

    def _logged_model(self, record: TrialRecord, save: SaveModel) -> LoggedModel:
        """Return the trial's logged model, whole: one whose writing was cut short is made anew."""
        experiment = self._projection.experiment_id
        query = f"tags.`{_TRIAL_KEY}` = '{record.trial_key}'"
        for found in self._client.search_logged_models([experiment], query):
            if found.status == LoggedModelStatus.READY:
                return found
            self._client.delete_logged_model(found.model_id)
        run_id = self._projection.run_ids.get(record.trial_key)
        model = self._client.create_logged_model(
            experiment,
            name=f"trial-{record.number:04d}",
            source_run_id=run_id,
            tags={STUDY_ID: self._study_id, _TRIAL_KEY: record.trial_key},
            params=to_params(record),
        )
        identity = {"model_id": model.model_id, "model_uuid": model.model_id}
        self._write_files(model.model_id, identity | ({"run_id": run_id} if run_id else {}), save)
        if run_id:
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        return self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def _write_files(self, model_id: str, identity: Mapping[str, str], save: SaveModel) -> None:
        with tempfile.TemporaryDirectory(prefix="prunefront-model-") as temporary:
            folder = Path(temporary) / "model"
            save(folder, identity)
            self._client.log_model_artifacts(model_id, str(folder))


def version_tags(record: TrialRecord) -> dict[str, str]:
    """Return what a version's tags say of its network: the trial, costs and scores under their metrics' names."""
    metrics = to_metrics(record)
    return {
        "trial.number": str(record.number),
        "method": record.method,
        **{name: _spell(metrics[name]) for name in _TAGGED_METRICS if name in metrics},
    }


def version_description(record: TrialRecord) -> str:
    """Say in one sentence which network it is."""
    scores = scores_of(record)
    return (
        f"Trial {record.number}: {slim_accuracy(scores)} of {scores.num_images:,} validation images with "
        f"{amount(scores.macs)} FLOPs (MACs), {percent(scores.macs_share)} of the dense network, and "
        f"{amount(scores.params)} params ({percent(scores.params_share)})."
    )


def _spell(value: float) -> str:
    return str(int(value)) if value.is_integer() and value > 1 else f"{value:.4f}"
