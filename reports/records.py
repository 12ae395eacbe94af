"""The schema of a finished trial, of a study, and their spelling in MLflow.

MLflow keys of trials are spelt in this file and nowhere else (`front_series` names what a study's run has). A trial's
run carries few, comparable values (`to_metrics`, `to_params`, `to_tags`) for MLflow's own filters and charts, and the
whole record as the artifact `RECORD_FILE` (a tag would be cut at 8,000 characters). `from_mlflow` reads the record
back and refuses a run whose values disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, JsonValue, SkipValidation, field_validator, model_validator

from reports.gallery import ExplanationGallery
from reports.latency_records import LatencyMeasurement
from reports.objectives import OBJECTIVES, Direction
from reports.scores import NetworkScores, PlainRecord, RungScores, TestScores

__all__ = [
    "PICKED_TAG",
    "RECORD_FILE",
    "SCHEMA_VERSION",
    "TRAINING_PAGES",
    "TRIAL_KEY_TAG",
    "NetworkScores",
    "RungScores",
    "Scalar",
    "StudyRecords",
    "TestScores",
    "TrialRecord",
    "TrialStatus",
    "from_mlflow",
    "pick_tags",
    "record_json",
    "to_metrics",
    "to_params",
    "to_tags",
]

SCHEMA_VERSION = 1
RECORD_FILE = "record.json"
PICKED_TAG = "picked"
TRIAL_KEY_TAG = "trial.key"
TRAINING_PAGES = "workflowType=machine_learning"
"""Query of MLflow's addresses: without it pages are about language models."""
_LONGEST_REASON = 1000  # characters of a failure reason in a tag; the record keeps all of it

_THREE_OBJECTIVES = {
    "accuracy": Direction.MAXIMIZE,
    "macs": Direction.MINIMIZE,
    "params": Direction.MINIMIZE,
}

Scalar = str | int | float | bool | None
Seconds = Annotated[float, Field(ge=0)]
Megabytes = Annotated[float, Field(ge=0)]


class TrialStatus(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    RUNNING = "running"


class TrialRecord(PlainRecord):
    """One trial of a study.

    ``reason``: why it failed, was stopped or is infeasible; required for the first and the last; of a complete trial,
    what is unusual about it. ``config``: the whole
    configuration as plain values; ``varied``: the fields the search chose, by dotted name. ``limits``: budgets as
    absolute amounts by resource. ``constraint_values``: of further constraints by name, satisfied when <= 0.
    ``kept``: ``(kept, total)`` channels per group. ``stage_seconds``: time spent in this trial per stage, with
    the stages found finished in ``cached_stages``. ``stage_peak_memory_mb``, ``stage_peak_gpu_memory_mb``: the most
    memory in use while a stage ran, in 10**6 bytes: resident size of its process, libraries included, and what was
    allocated on the GPU; also of stages found finished. ``rungs``: how good the network was on the way, where trials
    were compared before their end; the last one is what a stopped trial had reached. Times are unix seconds.
    """

    schema_version: int = SCHEMA_VERSION
    study: str
    number: Annotated[int, Field(ge=0)]
    trial_key: str
    status: TrialStatus
    reason: str | None = None
    method: str
    seed: int
    config: Annotated[
        dict[str, JsonValue], SkipValidation
    ]  # hundreds of values: half of the time of reading a study
    varied: dict[str, Scalar] = Field(default_factory=dict)
    scores: NetworkScores | None = None
    limits: dict[str, int | float] = Field(default_factory=dict)
    constraint_values: dict[str, float] = Field(default_factory=dict)
    kept: dict[str, tuple[int, int]] = Field(default_factory=dict)
    stage_seconds: dict[str, Seconds] = Field(default_factory=dict)
    cached_stages: tuple[str, ...] = ()
    peak_memory_mb: Megabytes | None = None
    stage_peak_memory_mb: dict[str, Megabytes] = Field(default_factory=dict)
    stage_peak_gpu_memory_mb: dict[str, Megabytes] = Field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    artifact_keys: dict[str, str] = Field(default_factory=dict)
    test: TestScores | None = None
    rungs: tuple[RungScores, ...] = ()

    @model_validator(mode="after")
    def _status_fits(self) -> Self:
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"a record must have schema version {SCHEMA_VERSION}, but trial {self.number} has "
                f"{self.schema_version}; read it with the version of prunefront that wrote it"
            )
        if self.status is TrialStatus.COMPLETE and (self.scores is None or self.finished_at is None):
            raise ValueError(
                f"a complete trial must have scores and finished_at, but trial {self.number} has not"
            )
        if self.status in (TrialStatus.FAILED, TrialStatus.INFEASIBLE) and not self.reason:
            raise ValueError(
                f"a trial that is {self.status} must say why, but trial {self.number} has no reason"
            )
        if any(not 1 <= kept <= total for kept, total in self.kept.values()):
            raise ValueError(f"every group must keep 1 to all of its channels, but got {self.kept}")
        return self

    @property
    def is_feasible(self) -> bool:
        """Whether the network is within its budgets and satisfies every constraint."""
        if self.status is TrialStatus.INFEASIBLE or self.scores is None:
            return False
        within = all(self.scores.cost(resource) <= limit for resource, limit in self.limits.items())
        return within and all(value <= 0 for value in self.constraint_values.values())

    @property
    def budget_use(self) -> dict[str, float]:
        """Which share of each budget the network uses, by resource."""
        if self.scores is None:
            return {}
        return {resource: self.scores.cost(resource) / limit for resource, limit in self.limits.items()}

    @property
    def num_kept(self) -> int:
        """Kept channels of all groups."""
        return sum(kept for kept, _ in self.kept.values())

    @property
    def num_channels(self) -> int:
        """Channels of all groups in the dense network."""
        return sum(total for _, total in self.kept.values())

    @property
    def seconds(self) -> float:
        """Time spent in this trial's stages."""
        return sum(self.stage_seconds.values())


class StudyRecords(PlainRecord):
    """A study as it was at ``updated_at``.

    ``constraints``: as written in the specification. ``version``: of prunefront. ``hypervolume_history``: pairs
    of seconds since ``created_at`` and hypervolume; empty means "compute it". ``run_ids``: MLflow run by trial
    number; ``run_url_base``: what a run id is appended to. ``hyperparameter_importances``: by objective, how much each
    varied field decides, relative to the others (they sum to 1). ``latencies``: of finished networks, measured
    afterwards, oldest first. ``gallery``: explanations of images; ``no_gallery``: why there is none.
    """

    study: str
    objectives: dict[str, Direction] = Field(default_factory=lambda: dict(_THREE_OBJECTIVES))
    constraints: dict[str, str] = Field(default_factory=dict)
    created_at: float
    updated_at: float
    version: str
    machine: dict[str, Scalar] = Field(default_factory=dict)
    records: tuple[TrialRecord, ...] = ()
    hypervolume_history: tuple[tuple[float, float], ...] = ()
    run_ids: dict[int, str] = Field(default_factory=dict)
    run_url_base: str | None = None
    hyperparameter_importances: dict[str, dict[str, float]] = Field(default_factory=dict)
    latencies: tuple[LatencyMeasurement, ...] = ()
    gallery: ExplanationGallery | None = None
    no_gallery: str = ""

    @field_validator("objectives")
    @classmethod
    def _objectives_are_known(cls, objectives: dict[str, Direction]) -> dict[str, Direction]:
        unknown = sorted(set(objectives) - set(OBJECTIVES))
        if unknown or not objectives:
            raise ValueError(
                f"unknown objectives {unknown}. Known objectives: {', '.join(sorted(OBJECTIVES))}."
            )
        return objectives

    @field_validator("run_url_base")
    @classmethod
    def _link_is_a_web_address(cls, base: str | None) -> str | None:
        if base is not None and not base.startswith(("http://", "https://")):
            raise ValueError(f"run_url_base must start with http:// or https://, but got {base!r}")
        return base

    @model_validator(mode="after")
    def _numbers_are_unique(self) -> Self:
        numbers = [record.number for record in self.records]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"trial numbers of study {self.study!r} must be unique")
        return self

    def run_url(self, number: int) -> str | None:
        """Return the address of a trial's MLflow run, where known; of the page for training, not for GenAI."""
        if self.run_url_base is None or number not in self.run_ids:
            return None
        return f"{self.run_url_base.rstrip('/')}/{self.run_ids[number]}?{TRAINING_PAGES}"


def record_json(record: TrialRecord) -> str:
    """Return the whole record as the text of the artifact `RECORD_FILE`."""
    return record.model_dump_json()


def to_metrics(record: TrialRecord) -> dict[str, float]:
    """Return a trial's final values under their MLflow metric names; empty where nothing was measured.

    MLflow's charts begin with the first.
    """
    metrics: dict[str, float | None] = {}
    if record.scores is not None:
        scores = record.scores
        metrics |= {
            "accuracy": scores.accuracy,
            "accuracy_dense": scores.accuracy_dense,
            "accuracy_after_removal": scores.accuracy_after_removal,
            "accuracy_after_reconstruction": scores.accuracy_after_reconstruction,
            "accuracy_drop": scores.accuracy_drop,
            "macs": scores.macs,
            "macs_share": scores.macs_share,
            "params": scores.params,
            "params_share": scores.params_share,
            "explanation_similarity": scores.explanation_similarity,
            "explanation_distance": scores.explanation_distance,
            "latency_ms": scores.latency_ms,
            "latency_share": scores.latency_share,
            "activation_memory": scores.activation_memory,
            "activation_memory_share": scores.activation_memory_share,
        }
    if record.status is TrialStatus.STOPPED and record.rungs:
        last = record.rungs[-1]
        metrics |= {"stopped_accuracy": last.scores.accuracy, "stopped_epochs": last.epochs}
    if record.test is not None:
        metrics |= {"test_accuracy": record.test.accuracy, "test_accuracy_dense": record.test.accuracy_dense}
    metrics |= {
        "seconds": record.seconds if record.stage_seconds else None,
        "peak_memory_mb": record.peak_memory_mb,
    }
    for prefix, by_stage in (
        ("stage_seconds", record.stage_seconds),
        ("stage_peak_memory_mb", record.stage_peak_memory_mb),
        ("stage_peak_gpu_memory_mb", record.stage_peak_gpu_memory_mb),
    ):
        metrics |= {f"{prefix}/{stage}": value for stage, value in by_stage.items()}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def to_params(record: TrialRecord) -> dict[str, str]:
    """Return the varied fields by dotted name, text as it is and other values as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in record.varied.items()
    }


def to_tags(record: TrialRecord, *, front_rank: int | None, on_front: bool) -> dict[str, str]:
    """Return the tags that MLflow's search filters by.

    Args:
        record: The trial.
        front_rank: 1 for the front, 2 for the front once that is taken away, and so on; None if not ranked.
        on_front: Whether no other trial is better in every respect.
    """
    tags = {
        TRIAL_KEY_TAG: record.trial_key,
        "trial.number": str(record.number),
        "status": record.status.value,
        "method": record.method,
        "feasible": _spell(record.is_feasible),
        "pareto.front": _spell(on_front),
    }
    if front_rank is not None:
        tags["pareto.rank"] = str(front_rank)
    if record.status is TrialStatus.FAILED and record.reason:
        tags["failure_reason"] = record.reason[:_LONGEST_REASON]
    if record.status is TrialStatus.STOPPED and record.reason:
        tags["stop_reason"] = record.reason[:_LONGEST_REASON]
    if record.status is TrialStatus.COMPLETE and record.reason:
        tags["note"] = record.reason[:_LONGEST_REASON]
    return tags


def pick_tags(record: TrialRecord, rule: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tags that say which trial was picked: those of its run, and those of the study's run."""
    return {PICKED_TAG: "true"}, {f"{PICKED_TAG}.trial": str(record.number), f"{PICKED_TAG}.by": rule}


def from_mlflow(
    params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str], record_text: str
) -> TrialRecord:
    """Read a trial back from its MLflow run.

    Args:
        params: The run's parameters.
        metrics: The last value of each of the run's metrics.
        tags: The run's tags; MLflow's own are ignored.
        record_text: Content of the run's artifact `RECORD_FILE`.

    Raises:
        ValueError: The text is no record of this schema version, or a value of the run disagrees with it.
    """
    record = TrialRecord.model_validate_json(record_text)
    expected_tags = to_tags(record, front_rank=None, on_front=False)
    del expected_tags["pareto.front"]  # depends on the other trials of the study
    _check_agreement(record, "parameter", to_params(record), params)
    _check_agreement(record, "metric", to_metrics(record), metrics)
    _check_agreement(record, "tag", expected_tags, tags)
    return record


def _check_agreement(
    record: TrialRecord, kind: str, expected: Mapping[str, object], came: Mapping[str, object]
) -> None:
    for name, value in expected.items():
        if came.get(name) != value:
            raise ValueError(
                f"{kind} '{name}' of trial {record.number} must be {value!r} as in {RECORD_FILE}, "
                f"but the run has {came.get(name)!r}; write the runs anew from the study"
            )


def _spell(statement: bool) -> str:  # noqa: FBT001 (the only argument of a private function)
    return "true" if statement else "false"
