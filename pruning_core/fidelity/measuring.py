"""Compare a slim network's explanations with the dense network's, in numbers.

Shape suffixes used in this file:
    N  images
    K, P  bumps per mask, raw numbers per bump
    H, W  image height and width in pixels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation
from pruning_core.errors import InvalidDataError
from pruning_core.fidelity.attributions import ATTRIBUTIONS
from pruning_core.fidelity.explained_images import (
    MASK,
    NetworkMaps,
    Subject,
    curve_areas,
    explain_images,
)
from pruning_core.fidelity.rank_correlation import rank_correlation
from pruning_core.fidelity.results import Agreement, CurveAreas, ExplanationCurves, Fidelity, MaskSeen
from pruning_core.fidelity.settings import FidelitySettings
from pruning_core.saliency import SaliencySelector, explanation_distance, explanation_similarity
from pruning_core.saliency.freezing import frozen_copy


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DenseReference:
    """What the dense network says of the images, found once for all slim networks made of it.

    ``said``: its maps. ``areas``: of its curves by kind of map. ``other_N``: per image the one that gives its chance
    level.
    """

    subject: Subject
    said: NetworkMaps
    areas: dict[str, CurveAreas]
    other_N: Tensor


def study_dense(
    dense: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    settings: FidelitySettings | None = None,
    *,
    device: str = "cpu",
) -> DenseReference:
    """Explain images by the dense network, each for the class that it predicts; nothing given is changed.

    Raises:
        InvalidDataError: Fewer than two images: there is no other one.
        InvalidSettingsError: captum is not installed.
    """
    if len(images) < 2:
        raise InvalidDataError(
            f"explanations must be compared on at least 2 images, because another image gives the chance level, but "
            f"got {len(images)}"
        )
    explainer = frozen_copy(selector, device)
    assert isinstance(explainer, SaliencySelector)
    subject = Subject(
        selector=explainer,
        images=images,
        normalisation=normalisation,
        settings=settings or FidelitySettings(),
        device=device,
    )
    network = frozen_copy(dense, device)
    said = explain_images(network, subject)
    return DenseReference(
        subject=subject,
        said=said,
        areas={
            kind: curve_areas(network, subject, map_NHW, said.predicted_N)
            for kind, map_NHW in said.maps.items()
        },
        other_N=_other_images(len(images), subject.settings.seed),
    )


def measure_fidelity(
    reference: DenseReference,
    slim: nn.Module,
    see_map: Callable[[str, Tensor], Tensor] | None = None,
) -> Fidelity:
    """Say in numbers how well a slim network kept the explanations of the dense one; it is not changed.

    Args:
        reference: What ``study_dense`` found.
        slim: With the dense network's layer names.
        see_map: Told a tap's layer and the slim network's map, returns the map at the dense width for the selector.
    """
    network, dense = frozen_copy(slim, reference.subject.device), reference.said
    said = explain_images(network, reference.subject, dense.predicted_N, see_map)
    overlap, distance = _masks_kept(reference, said)
    return Fidelity(
        num_images=len(reference.other_N),
        same_class=(said.predicted_N == dense.predicted_N).double().mean().item(),
        mask_overlap=overlap,
        mask_distance=distance,
        rank_correlation={
            kind: _agreement(rank_correlation, said.maps[kind], dense.maps[kind], reference.other_N)
            for kind in said.maps
        },
        mask_seen={
            kind: MaskSeen(
                dense=_mask_seen(dense, kind, reference.other_N),
                slim=_mask_seen(said, kind, reference.other_N),
            )
            for kind in ATTRIBUTIONS
        },
        curves={kind: _curves(kind, reference, network, said) for kind in said.maps},
    )


def _masks_kept(reference: DenseReference, said: NetworkMaps) -> tuple[Agreement, Agreement]:
    selector, other_N = reference.subject.selector, reference.other_N
    height, width = said.maps[MASK].shape[-2:]

    def overlap(raw_a_NKP: Tensor, raw_b_NKP: Tensor) -> Tensor:
        return explanation_similarity(selector.to_rbf(raw_a_NKP), selector.to_rbf(raw_b_NKP), (height, width))

    def distance(raw_a_NKP: Tensor, raw_b_NKP: Tensor) -> Tensor:
        return explanation_distance(raw_a_NKP, raw_b_NKP, selector)

    dense_NKP = reference.said.raw_NKP
    return (
        _agreement(overlap, said.raw_NKP, dense_NKP, other_N),
        _agreement(distance, said.raw_NKP, dense_NKP, other_N),
    )


def _curves(kind: str, reference: DenseReference, slim: nn.Module, said: NetworkMaps) -> ExplanationCurves:
    def areas(maps_NHW: Tensor) -> CurveAreas:
        return curve_areas(slim, reference.subject, maps_NHW, reference.said.predicted_N)

    return ExplanationCurves(
        dense=reference.areas[kind],
        slim=areas(said.maps[kind]),
        dense_on_slim=areas(reference.said.maps[kind]),
        chance=areas(said.maps[kind][reference.other_N]),
    )


def _mask_seen(said: NetworkMaps, kind: str, other_N: Tensor) -> Agreement:
    return _agreement(rank_correlation, said.maps[kind], said.maps[MASK], other_N)


def _agreement(
    measure: Callable[[Tensor, Tensor], Tensor], one: Tensor, another: Tensor, other_N: Tensor
) -> Agreement:
    return Agreement(value=_mean(measure(one, another)), chance=_mean(measure(one, another[other_N])))


def _mean(values_N: Tensor) -> float:
    return values_N.double().mean().item()


def _other_images(num_images: int, seed: int) -> Tensor:
    """Return ``other_N``: for each image another one, each chosen once."""
    order_N = torch.randperm(num_images, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(order_N).index_copy(0, order_N, order_N.roll(1))
