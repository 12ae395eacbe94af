"""How much each channel matters to the network: filter importance."""

from __future__ import annotations

from pruning_core.importance.class_coverage import (
    ClassCoverage,
    ClassProfile,
    measure_class_profiles,
    report_class_coverage,
)
from pruning_core.importance.group_norms import GroupNormImportance, LampImportance
from pruning_core.importance.norm_scale import NormScaleImportance
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.sensitivity import measure_sensitivities
from pruning_core.importance.task_inspired import TaskInspiredImportance
from pruning_core.importance.taylor import TaylorImportance
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
    "task_inspired": TaskInspiredImportance(),
}

__all__ = [
    "IMPORTANCES",
    "ClassCoverage",
    "ClassProfile",
    "FilterImportance",
    "ImportanceContext",
    "measure_class_profiles",
    "measure_sensitivities",
    "report_class_coverage",
]
