"""How much each channel matters to the network: filter importance."""

from __future__ import annotations

from pruning_core.importance.class_coverage import (
    ClassCoverage,
    ClassProfile,
    measure_class_profiles,
    report_class_coverage,
)
from pruning_core.importance.protocols import FilterImportance, ImportanceContext
from pruning_core.importance.sensitivity import measure_sensitivities
from pruning_core.importance.task_inspired import TaskInspiredImportance
from pruning_core.importance.weights_only import L1Importance, RandomImportance

IMPORTANCES: dict[str, FilterImportance] = {
    "random": RandomImportance(),
    "l1": L1Importance(),
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
