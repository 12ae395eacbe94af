"""Is an explanation the same after pruning, and does it hold? Rank correlations and deletion and insertion curves."""

from pruning_core.fidelity.attributions import ATTRIBUTIONS, load_captum
from pruning_core.fidelity.explained_images import MASK
from pruning_core.fidelity.measuring import DenseReference, measure_fidelity, study_dense
from pruning_core.fidelity.pixel_curves import area_under, deletion_curve, insertion_curve
from pruning_core.fidelity.rank_correlation import rank_correlation
from pruning_core.fidelity.results import Agreement, CurveAreas, ExplanationCurves, Fidelity, MaskSeen
from pruning_core.fidelity.settings import FidelitySettings

__all__ = [
    "ATTRIBUTIONS",
    "MASK",
    "Agreement",
    "CurveAreas",
    "DenseReference",
    "ExplanationCurves",
    "Fidelity",
    "FidelitySettings",
    "MaskSeen",
    "area_under",
    "deletion_curve",
    "insertion_curve",
    "load_captum",
    "measure_fidelity",
    "rank_correlation",
    "study_dense",
]
