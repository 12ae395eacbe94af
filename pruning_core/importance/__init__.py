"""How much each channel matters to the network: filter importance."""

from __future__ import annotations

from pruning_core.importance.attribution import AttributionImportance
from pruning_core.importance.class_coverage import (
    ClassCoverage,
    ClassProfile,
    DetectorCounts,
    count_detectors,
    coverage_facts,
    report_class_coverage,
)
from pruning_core.importance.class_profiles import measure_class_profiles
from pruning_core.importance.flow_edges import FlowEdges
from pruning_core.importance.flows import FLOWS
from pruning_core.importance.group_norms import GroupNormImportance, LampImportance
from pruning_core.importance.measurements import GRADIENT_RELEVANCES
from pruning_core.importance.norm_scale import NormScaleImportance
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.rating import Rating, rate_channels
from pruning_core.importance.sensitivity import measure_sensitivities
from pruning_core.importance.task_inspired import TaskInspiredImportance
from pruning_core.importance.task_relevance import TASK_RELEVANCES
from pruning_core.importance.taylor import TaylorImportance
from pruning_core.importance.tf_idf import TfIdfImportance
from pruning_core.importance.weights_only import (
    GeometricMedianImportance,
    L1Importance,
    L2Importance,
    RandomImportance,
)

IMPORTANCES: dict[str, FilterImportance] = {
    "random": RandomImportance(),
    "l1": L1Importance(),
    "l2": L2Importance(),
    "fpgm": GeometricMedianImportance(),
    "bn_scale": NormScaleImportance(),
    "lamp": LampImportance(),
    "group_norm": GroupNormImportance(),
    "taylor": TaylorImportance(),
    "attribution": AttributionImportance(),
    "tf_idf": TfIdfImportance(),
    "task_inspired": TaskInspiredImportance(),
}

__all__ = [
    "FLOWS",
    "GRADIENT_RELEVANCES",
    "IMPORTANCES",
    "TASK_RELEVANCES",
    "ClassCoverage",
    "ClassProfile",
    "DetectorCounts",
    "FilterImportance",
    "FlowEdges",
    "ImportanceContext",
    "Rating",
    "count_detectors",
    "coverage_facts",
    "measure_class_profiles",
    "measure_sensitivities",
    "rate_channels",
    "report_class_coverage",
]
