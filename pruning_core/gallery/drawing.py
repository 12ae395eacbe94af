"""Draw the explanations of a dense and of a slim network, each for the class that the dense network predicts.

Shape suffixes used in this file:
    N, S  images measured, images shown
    C  colour channels
    H, W  height and width of what is drawn, in pixels
    K, P  bumps per mask, raw numbers per bump
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation, stratified_subset
from pruning_core.data.stratification import share_out, take_per_class
from pruning_core.gallery.settings import GallerySettings
from pruning_core.saliency import SaliencySelector, explain_set, explanation_similarity

_BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DenseGallery:
    """What the dense network looks at; tensors are on the CPU.

    ``labels_N``, ``classes_N``: true and predicted classes of the images measured. ``raw_NKP``: the selector's numbers.
    ``shown_S``: positions among them of the images shown. ``pixels_SCHW``: those, as uint8 with 1 or 3 channels;
    ``masks_SHW``: their explanations, as uint8 from nothing to 255.
    """

    labels_N: Tensor
    classes_N: Tensor
    raw_NKP: Tensor
    shown_S: Tensor
    pixels_SCHW: Tensor
    masks_SHW: Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SlimGallery:
    """What a slim network looks at, in the order of its dense network's gallery.

    ``classes_N``: predicted. ``similarity_N``: of its explanation with the dense network's, in [0, 1].
    """

    classes_N: Tensor
    similarity_N: Tensor
    masks_SHW: Tensor


def draw_dense(
    dense: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    settings: GallerySettings,
    *,
    device: str = "cpu",
) -> DenseGallery:
    """Choose images and explain them by the dense network; nothing given is changed."""
    measured = measured_images(images, settings)
    said = explain_set(dense, selector, measured, normalisation, device=device)
    shown_S = _choose_shown(measured, settings)
    return DenseGallery(
        labels_N=measured.labels_N.cpu(),
        classes_N=said.classes_N,
        raw_NKP=said.raw_NKP,
        shown_S=shown_S,
        pixels_SCHW=_shrink(measured.read(shown_S).cpu(), settings.longest_side),
        masks_SHW=_draw(selector, said.raw_NKP[shown_S], measured, settings),
    )


def draw_slim(
    slim: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    settings: GallerySettings,
    dense: DenseGallery,
    *,
    see_map: Callable[[str, Tensor], Tensor] | None = None,
    device: str = "cpu",
) -> SlimGallery:
    """Explain the same images by a slim network, and compare; nothing given is changed.

    Args:
        slim: With the dense network's layer names.
        selector: The one that ``dense`` was drawn by.
        images: Those that ``dense`` was drawn from.
        normalisation: Of the data set.
        settings: Those of ``dense``.
        dense: The dense network's gallery.
        see_map: Told a tap's layer and the slim network's map, returns the map at the dense width for the selector.
        device: Where the network runs.
    """
    measured = measured_images(images, settings)
    said = explain_set(
        slim, selector, measured, normalisation, classes_N=dense.classes_N, see_map=see_map, device=device
    )
    height, width = _size(measured)
    similarity = [
        explanation_similarity(selector.to_rbf(came_NKP), selector.to_rbf(wanted_NKP), (height, width))
        for came_NKP, wanted_NKP in zip(
            torch.split(said.raw_NKP, _BATCH_SIZE), torch.split(dense.raw_NKP, _BATCH_SIZE), strict=True
        )
    ]
    return SlimGallery(
        classes_N=said.logits_NC.argmax(dim=1),
        similarity_N=torch.cat(similarity),
        masks_SHW=_draw(selector, said.raw_NKP[dense.shown_S], measured, settings),
    )


def measured_images(images: LabelledImages, settings: GallerySettings) -> LabelledImages:
    """Return the images that similarities are measured on."""
    return stratified_subset(images, min(settings.num_measured, len(images)), settings.seed)


def _choose_shown(measured: LabelledImages, settings: GallerySettings) -> Tensor:
    """Return ``shown_S``: as many positions as are shown, classes in proportion."""
    class_sizes = torch.bincount(measured.labels_N).tolist()
    quotas = share_out(min(settings.num_shown, len(measured)), class_sizes)
    return take_per_class(measured.labels_N.cpu(), quotas, settings.seed)


def _draw(
    selector: SaliencySelector, raw_SKP: Tensor, images: LabelledImages, settings: GallerySettings
) -> Tensor:
    """Draw ``masks_SHW`` as uint8; bumps know no pixels, so small images get masks as smooth as large ones."""
    height, width = _size(images)
    scale = settings.longest_side / max(height, width)
    size = (max(1, round(scale * height)), max(1, round(scale * width)))
    return (255 * selector.draw(raw_SKP, size)).round().to(torch.uint8)


def _shrink(pixels_SCHW: Tensor, longest_side: int) -> Tensor:
    """Average images down to a size, never up, and to grey unless they have 3 channels."""
    shown_SCHW = pixels_SCHW.float()
    if pixels_SCHW.shape[1] != 3:
        shown_SCHW = shown_SCHW.mean(dim=1, keepdim=True)
    height, width = shown_SCHW.shape[-2:]
    scale = longest_side / max(height, width)
    if scale < 1:
        size = (max(1, round(scale * height)), max(1, round(scale * width)))
        shown_SCHW = F.interpolate(shown_SCHW, size=size, mode="area")
    return shown_SCHW.round().to(torch.uint8)


def _size(images: LabelledImages) -> tuple[int, int]:
    height, width = images.read(torch.zeros(1, dtype=torch.int64)).shape[-2:]
    return height, width
