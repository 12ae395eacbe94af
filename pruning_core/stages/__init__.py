"""One pruning run as stages whose results are kept and shared."""

from __future__ import annotations

from pruning_core.stage_keys import RunPlan, StageNode, fields_read_by, plan_run
from pruning_core.stages.artifact_store import Artifact, ArtifactStore
from pruning_core.stages.assembly import StageOutcome
from pruning_core.stages.explanation_fidelity import fidelity_of_run, study_dense_of_run
from pruning_core.stages.finished_run import (
    evaluate_on_test,
    find_test_scores,
    load_dense_network,
    load_slim_network,
    slim_layout_of,
)
from pruning_core.stages.preflight import Preflight, preflight
from pruning_core.stages.run_result import RunResult
from pruning_core.stages.runner import run_rung, run_stage, run_trial

__all__ = [
    "Artifact",
    "ArtifactStore",
    "Preflight",
    "RunPlan",
    "RunResult",
    "StageNode",
    "StageOutcome",
    "evaluate_on_test",
    "fidelity_of_run",
    "fields_read_by",
    "find_test_scores",
    "load_dense_network",
    "load_slim_network",
    "plan_run",
    "preflight",
    "run_rung",
    "run_stage",
    "run_trial",
    "study_dense_of_run",
    "slim_layout_of",
]
