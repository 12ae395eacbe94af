"""Batches of images with what the dense network says of them: looked up, or computed on the spot.

Gates on frozen weights see plain images again and again, so the dense network's answers are computed once and stored.
Weights that are trained along need augmented images, for which the dense network is asked in every step.

Shape suffixes used in this file:
    N  images in the batch or in the steering set
    C  classes, or colour channels
    K, P  basis functions per mask, raw numbers per basis function
    H, W  height and width of images and feature maps
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.config import GatesConfig
from pruning_core.data import Augmentation, DataSplits, LabelledImages, iterate_batches
from pruning_core.data.residency import move
from pruning_core.gating.gated_network import SteeringProblem
from pruning_core.saliency import explain


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringSet:
    """Images the gates learn from, with what the dense network says of them.

    ``data``: where they are from; where answers cannot be stored, all of its training images are used.
    ``raw_NKP``: the dense network's explanations as the selector's raw numbers; ``classes_N``: its predictions;
    ``logits_NC``: its outputs, for distillation.
    """

    images: LabelledImages
    data: DataSplits
    raw_NKP: Tensor
    classes_N: Tensor
    logits_NC: Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SteeringBatch:
    """Images on the device, their labels, and the dense network's answers.

    ``raw_NKP`` are the explanations to steer by (other ones in ablations, see ``gates.targets``); ``classes_N`` its
    predictions, which are explained; ``logits_NC`` its outputs; ``maps_NCHW`` its tapped feature maps, where asked for.
    """

    images_NCHW: Tensor
    labels_N: Tensor
    raw_NKP: Tensor
    classes_N: Tensor
    logits_NC: Tensor
    maps_NCHW: tuple[Tensor, ...] = ()


def stored_answers(
    steering_set: SteeringSet, gates: GatesConfig, *, seed: int, device: str
) -> Iterator[SteeringBatch]:
    """Go through the steering set for ever, without augmentation; answers are looked up."""
    raw_NKP, classes_N, logits_NC = (
        tensor.to(device) for tensor in (steering_set.raw_NKP, steering_set.classes_N, steering_set.logits_NC)
    )
    if gates.targets == "shuffled":
        raw_NKP = raw_NKP[_random_order(len(raw_NKP), seed).to(device)]
    if gates.targets == "constant":
        raw_NKP = _mean_of(raw_NKP, raw_NKP)
    order = torch.Generator().manual_seed(seed)
    while True:
        for batch in iterate_batches(
            steering_set.images,
            steering_set.data.normalisation,
            batch_size=gates.batch_size,
            device=device,
            generator=order,
        ):
            indices_N = move(batch.indices_N, torch.device(device))
            yield SteeringBatch(
                images_NCHW=batch.images_NCHW,
                labels_N=batch.labels_N,
                raw_NKP=raw_NKP[indices_N],
                classes_N=classes_N[indices_N],
                logits_NC=logits_NC[indices_N],
            )


def fresh_answers(
    dense: SteeringProblem, steering_set: SteeringSet, gates: GatesConfig, *, seed: int, device: str
) -> Iterator[SteeringBatch]:
    """Go through the training images for ever and ask the dense network about each batch.

    Args:
        dense: Frozen, on the device.
        steering_set: All training images of its data are used, augmented if weights are trained along; of its
            explanations only the mean, for constant targets.
        gates: ``batch_size``, ``targets``, ``network_weights``.
        seed: Of order and augmentation.
        device: Where the dense network is.
    """
    order, data = torch.Generator().manual_seed(seed), steering_set.data
    while True:
        for batch in iterate_batches(
            data.train,
            data.normalisation,
            batch_size=gates.batch_size,
            device=device,
            generator=order,
            augmentation=data.augmentation if gates.network_weights == "joint" else Augmentation.NONE,
            drop_last=len(data.train) > gates.batch_size,
        ):
            with torch.no_grad():
                answer = explain(dense.network, dense.selector, batch.images_NCHW, precision=dense.precision)
            raw_NKP = answer.raw_NKP
            if gates.targets == "shuffled":
                raw_NKP = raw_NKP.roll(1, dims=0)
            if gates.targets == "constant":
                raw_NKP = _mean_of(steering_set.raw_NKP.to(device), raw_NKP)
            yield SteeringBatch(
                images_NCHW=batch.images_NCHW,
                labels_N=batch.labels_N,
                raw_NKP=raw_NKP,
                classes_N=answer.logits_NC.argmax(dim=1),
                logits_NC=answer.logits_NC,
                maps_NCHW=answer.maps_NCHW,
            )


def _mean_of(raw_NKP: Tensor, like_NKP: Tensor) -> Tensor:
    """Return the mean explanation, once for each image of a batch."""
    return raw_NKP.mean(dim=0, keepdim=True).expand_as(like_NKP)


def _random_order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
