"""What is known of a slim network's explanations; every number is a mean over images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of two explanations of the same image (``value``), and with another image's in place of one (``chance``)."""

    value: float
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskSeen:
    """Rank correlation of the selector's mask of a network with that network's own attribution."""

    dense: Agreement
    slim: Agreement


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveAreas:
    """Areas under the probability of the class, in [0, 1]: low for ``deletion`` and high for ``insertion`` is good."""

    deletion: float
    insertion: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationCurves:
    """One kind of map, judged by the network that sees the changed images.

    ``dense`` and ``slim``: each network's map, judged by itself. ``dense_on_slim``: the dense network's map, judged
    by the slim one. ``chance``: the slim network's map of another image, judged by the slim one.
    """

    dense: CurveAreas
    slim: CurveAreas
    dense_on_slim: CurveAreas
    chance: CurveAreas


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """How well a slim network kept the dense one's explanations, each for the class the dense network predicts.

    ``same_class``: share of images to which both give the same class. ``mask_overlap``: soft intersection over union of
    the selector's masks. ``mask_distance``: normalised distance of their numbers, 0 when equal. ``rank_correlation``:
    Spearman's, of the two networks' maps, by kind of map. ``mask_seen``: by attribution. ``curves``: by kind of map.
    Kinds are ``MASK`` and the keys of ``ATTRIBUTIONS``.
    """

    num_images: int
    same_class: float
    mask_overlap: Agreement
    mask_distance: Agreement
    rank_correlation: Mapping[str, Agreement]
    mask_seen: Mapping[str, MaskSeen]
    curves: Mapping[str, ExplanationCurves]
