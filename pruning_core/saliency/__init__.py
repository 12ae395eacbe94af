"""RBF saliency masks, the networks that draw and judge them, and distances between explanations."""

from pruning_core.saliency.agreement import MaskQuality, SelectorAgreement, selector_agreement
from pruning_core.saliency.explanations import (
    ExplainedImages,
    Explanation,
    dense_explanations,
    explain,
    explain_set,
    explanation_distance,
    explanation_similarity,
)
from pruning_core.saliency.predictor import train_predictor
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import RbfParameters
from pruning_core.saliency.selector import SaliencySelector, build_selector
from pruning_core.saliency.selector_training import train_selector
from pruning_core.saliency.taps import Tap, find_taps

__all__ = [
    "ExplainedImages",
    "Explanation",
    "MaskQuality",
    "RbfParameters",
    "SaliencySelector",
    "SelectorAgreement",
    "Tap",
    "build_selector",
    "dense_explanations",
    "explain",
    "explain_set",
    "explanation_distance",
    "explanation_similarity",
    "find_taps",
    "render_rbf_masks",
    "selector_agreement",
    "train_predictor",
    "train_selector",
]
