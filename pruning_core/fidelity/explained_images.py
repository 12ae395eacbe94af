"""Every kind of map that a network has of a set of images.

Shape suffixes used in this file:
    N  images
    C  colour channels
    K, P  bumps per mask, raw numbers per bump
    H, W  image height and width in pixels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation, iterate_batches
from pruning_core.fidelity.attributions import ATTRIBUTIONS
from pruning_core.fidelity.pixel_curves import area_under, deletion_curve, insertion_curve
from pruning_core.fidelity.results import CurveAreas
from pruning_core.fidelity.settings import FidelitySettings
from pruning_core.saliency import SaliencySelector, explain

MASK = "mask"
"""The kind of map that the selector draws; the other kinds are the keys of ``ATTRIBUTIONS``."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """What networks are asked about: images, and how finely. ``selector`` is in evaluation mode on ``device``."""

    selector: SaliencySelector
    images: LabelledImages
    normalisation: Normalisation
    settings: FidelitySettings
    device: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkMaps:
    """What a network says of images, in their order, on the CPU.

    ``predicted_N``: its classes. ``raw_NKP``: the selector's numbers on its maps. ``maps``: ``map_NHW`` by kind.
    """

    predicted_N: Tensor
    raw_NKP: Tensor
    maps: Mapping[str, Tensor]


def explain_images(
    network: nn.Module,
    subject: Subject,
    classes_N: Tensor | None = None,
    see_map: Callable[[str, Tensor], Tensor] | None = None,
) -> NetworkMaps:
    """Explain every image by the selector and by every attribution.

    Args:
        network: In evaluation mode on the subject's device.
        subject: The images.
        classes_N: What to explain; by default the class that the network predicts.
        see_map: As in ``explain``.
    """
    last_layer = subject.selector.taps[-1].layer
    predicted, raw = [], []
    maps: dict[str, list[Tensor]] = {kind: [] for kind in (MASK, *ATTRIBUTIONS)}
    for batch in iterate_batches(
        subject.images,
        subject.normalisation,
        batch_size=subject.settings.batch_size,
        device=subject.device,
    ):
        images_NCHW = batch.images_NCHW
        height, width = images_NCHW.shape[-2:]
        asked_N = None if classes_N is None else classes_N[batch.indices_N].to(subject.device)
        with torch.no_grad():
            said = explain(network, subject.selector, images_NCHW, asked_N, see_map=see_map)
            maps[MASK].append(subject.selector.draw(said.raw_NKP, (height, width)).cpu())
        predicted_N = said.logits_NC.argmax(dim=1)
        asked_N = predicted_N if asked_N is None else asked_N
        for kind, attribute in ATTRIBUTIONS.items():
            map_NHW = attribute(network, last_layer, images_NCHW, asked_N, subject.settings)
            maps[kind].append(map_NHW.cpu())
        predicted.append(predicted_N.cpu())
        raw.append(said.raw_NKP.cpu())
    return NetworkMaps(
        predicted_N=torch.cat(predicted),
        raw_NKP=torch.cat(raw),
        maps={kind: torch.cat(parts) for kind, parts in maps.items()},
    )


def curve_areas(judge: nn.Module, subject: Subject, maps_NHW: Tensor, classes_N: Tensor) -> CurveAreas:
    """Return the mean areas under the deletion and insertion curves of all images, judged by one network.

    Args:
        judge: Sees the changed images; in evaluation mode on the subject's device.
        subject: The images.
        maps_NHW: A map of each image.
        classes_N: The class of each image whose probability is watched.
    """
    settings, areas = subject.settings, torch.zeros(2, dtype=torch.float64)
    for batch in iterate_batches(
        subject.images, subject.normalisation, batch_size=settings.batch_size, device=subject.device
    ):
        asked = (
            judge,
            batch.images_NCHW,
            maps_NHW[batch.indices_N].to(subject.device),
            classes_N[batch.indices_N].to(subject.device),
        )
        deleted_NS = deletion_curve(*asked, num_steps=settings.curve_steps)
        inserted_NS = insertion_curve(*asked, num_steps=settings.curve_steps, blur_width=settings.blur_width)
        areas += torch.stack([area_under(deleted_NS).sum(), area_under(inserted_NS).sum()]).cpu()
    deletion, insertion = (areas / len(subject.images)).tolist()
    return CurveAreas(deletion=deletion, insertion=insertion)
