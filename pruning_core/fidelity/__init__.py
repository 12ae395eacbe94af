"""Is an explanation the same after pruning, and does it hold? Rank correlations and deletion and insertion curves."""

from pruning_core.fidelity.attributions import ATTRIBUTIONS
from pruning_core.fidelity.explained_images import MASK
from pruning_core.fidelity.measuring import DenseReference, measure_fidelity, study_dense
from pruning_core.fidelity.pixel_curves import area_under, deletion_curve, insertion_curve
from pruning_core.fidelity.rank_correlation import rank_correlation
from pruning_core.fidelity.results import CurveAreas, ExplanationCurves, Fidelity, Kept, MaskSeen
from pruning_core.fidelity.settings import FidelitySettings

__all__ = [
    "ATTRIBUTIONS",
    "MASK",
    "CurveAreas",
    "DenseReference",
    "ExplanationCurves",
    "Fidelity",
    "FidelitySettings",
    "Kept",
    "MaskSeen",
    "area_under",
    "deletion_curve",
    "insertion_curve",
    "measure_fidelity",
    "rank_correlation",
    "study_dense",
]
