"""Explain predictions, and say how far two explanations are apart.

Shape suffixes used in this file:
    N  images
    C  classes, or colour channels in NCHW
    K, P  bumps per mask, raw numbers per bump
    H, W  image height and width in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.data import LabelledImages, Normalisation, iterate_batches
from pruning_core.errors import InvalidSettingsError
from pruning_core.precision import computing_in, in_single
from pruning_core.saliency.freezing import frozen_copy
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import RbfParameters
from pruning_core.saliency.selector import SaliencySelector
from pruning_core.setting_types import Precision
from pruning_core.training import MapReader


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """What a network says of a batch: its ``logits_NC``; ``raw_NKP``, the selector's raw numbers; ``maps_NCHW``, what
    the selector saw.
    """

    logits_NC: Tensor
    raw_NKP: Tensor
    maps_NCHW: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExplainedImages:
    """What a network says of an image set, in its order, on the CPU.

    ``raw_NKP``: explanations; ``classes_N``: the classes they are for; ``logits_NC``: outputs.
    """

    raw_NKP: Tensor
    classes_N: Tensor
    logits_NC: Tensor


def explain(
    network: nn.Module,
    selector: SaliencySelector,
    images_NCHW: Tensor,
    classes_N: Tensor | None = None,
    *,
    forward: Callable[[Tensor], Tensor] | None = None,
    see_map: Callable[[str, Tensor], Tensor] | None = None,
    precision: Precision = "float32",
) -> Explanation:
    """Run a network once and explain its output; modes and gradients are the caller's.

    Args:
        network: The module whose taps are read.
        selector: Its explainer.
        images_NCHW: Normalised images.
        classes_N: The class to explain, per image; by default the class predicted in this very pass.
        forward: How to run the network if not by calling it: with gated weights, say.
        see_map: Told a tap's layer and its map, returns the map that the selector shall see: a gated one, or
            one scattered to the dense network's width.
        precision: Of the network and the decoder; what comes out is in single precision at least.
    """
    with computing_in(precision, images_NCHW.device):
        with MapReader(network, [tap.layer for tap in selector.taps]) as reader:
            logits_NC = (forward or network)(images_NCHW)
            maps = reader.maps()
        if see_map is not None:
            maps = tuple(see_map(tap.layer, tapped) for tap, tapped in zip(selector.taps, maps, strict=True))
        if classes_N is None:
            classes_N = logits_NC.argmax(dim=1)
        raw_NKP = selector(maps, classes_N)
    return Explanation(
        logits_NC=in_single(logits_NC), raw_NKP=raw_NKP, maps_NCHW=tuple(in_single(tapped) for tapped in maps)
    )


def dense_explanations(
    dense: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    *,
    device: str = "cpu",
    batch_size: int = 256,
) -> ExplainedImages:
    """Explain every image of a set once, each for the class that the dense network predicts."""
    return explain_set(dense, selector, images, normalisation, device=device, batch_size=batch_size)


@torch.no_grad()
def explain_set(
    network: nn.Module,
    selector: SaliencySelector,
    images: LabelledImages,
    normalisation: Normalisation,
    *,
    classes_N: Tensor | None = None,
    see_map: Callable[[str, Tensor], Tensor] | None = None,
    device: str = "cpu",
    batch_size: int = 256,
) -> ExplainedImages:
    """Explain every image of a set once; nothing given is changed.

    Args:
        network: The module whose taps are read.
        selector: Its explainer.
        images: Explained in their order.
        normalisation: Of the data set.
        classes_N: The class to explain, per image; by default the class that the network predicts.
        see_map: As in ``explain``.
        device: Where the network runs.
        batch_size: Images at a time.
    """
    network, explainer = frozen_copy(network, device), _frozen_selector(selector, device)
    answers = []
    for batch in iterate_batches(images, normalisation, batch_size=batch_size, device=device):
        asked_N = None if classes_N is None else classes_N[batch.indices_N].to(device)
        explained = explain(network, explainer, batch.images_NCHW, asked_N, see_map=see_map)
        answers.append((explained.logits_NC.cpu(), explained.raw_NKP.cpu()))
    logits_NC, raw_NKP = (torch.cat(parts) for parts in zip(*answers, strict=True))
    if classes_N is None:
        classes_N = logits_NC.argmax(dim=1)
    return ExplainedImages(raw_NKP=raw_NKP, classes_N=classes_N, logits_NC=logits_NC)


def explanation_distance(
    raw_a_NKP: Tensor, raw_b_NKP: Tensor, selector: SaliencySelector, kind: str = "normalised"
) -> Tensor:
    """Return ``distance_N``: how far two explanations of each image are apart; 0 when they are equal.

    ``normalised``: with centres c in shares of the sides, widths w and amplitudes a,

        sum_k weight_k (|c_ak - c_bk|^2 + (ln w_ak - ln w_bk)^2) + mean_k (a_ak - a_bk)^2,
        weight_k = (a_ak + a_bk) / sum_k (a_ak + a_bk), held constant under differentiation,

    so that a faint bump's place does not count and fading a bump does not hide its move. For K = 1 this is
    |c_a - c_b|^2 + (ln w_a - ln w_b)^2. Stretched bumps add |s_a - s_b|^2 / 4 to the bracket, which makes its last two
    terms an eighth of the squared Frobenius distance of the covariances' logarithms. Bumps are compared slot by slot:
    both sides come from one decoder.
    ``raw``: mean squared difference of the raw numbers, as in [Ganjdanesh2022]; in 1/32 of the side, counting also
    moves that tanh swallows.

    Raises:
        InvalidSettingsError: Unknown kind.
    """
    if kind not in _DISTANCES:
        raise InvalidSettingsError(
            f"unknown distance {kind!r}. Known distances: {', '.join(sorted(_DISTANCES))}."
        )
    return _DISTANCES[kind](raw_a_NKP, raw_b_NKP, selector)


def _normalised_distance(raw_a_NKP: Tensor, raw_b_NKP: Tensor, selector: SaliencySelector) -> Tensor:
    a, b = selector.to_rbf(raw_a_NKP), selector.to_rbf(raw_b_NKP)
    amplitude_NK = (a.amplitudes_NK + b.amplitudes_NK).detach()
    weight_NK = amplitude_NK / amplitude_NK.sum(dim=-1, keepdim=True)
    moved_NK = (a.centres_NK2 - b.centres_NK2).square().sum(dim=-1)
    resized_NK = (a.widths_NK.log() - b.widths_NK.log()).square()
    if a.stretches_NK2 is not None and b.stretches_NK2 is not None:
        resized_NK = resized_NK + (a.stretches_NK2 - b.stretches_NK2).square().sum(dim=-1) / 4
    faded_N = (a.amplitudes_NK - b.amplitudes_NK).square().mean(dim=-1)
    return (weight_NK * (moved_NK + resized_NK)).sum(dim=-1) + faded_N


def _raw_distance(raw_a_NKP: Tensor, raw_b_NKP: Tensor, _selector: SaliencySelector) -> Tensor:
    return (raw_a_NKP - raw_b_NKP).square().mean(dim=(-2, -1))


_DISTANCES: dict[str, Callable[[Tensor, Tensor, SaliencySelector], Tensor]] = {
    "normalised": _normalised_distance,
    "raw": _raw_distance,
}


def explanation_similarity(rbf_a: RbfParameters, rbf_b: RbfParameters, size: tuple[int, int]) -> Tensor:
    """Return ``similarity_N``: soft intersection over union of the drawn masks, in [0, 1]; 1 when equal."""
    mask_a_NHW, mask_b_NHW = render_rbf_masks(rbf_a, size), render_rbf_masks(rbf_b, size)
    intersection_N = torch.minimum(mask_a_NHW, mask_b_NHW).sum(dim=(-2, -1))
    union_N = torch.maximum(mask_a_NHW, mask_b_NHW).sum(dim=(-2, -1))
    # two masks too narrow to touch any pixel are equal, and 0 / 0
    return torch.where(union_N > 0, intersection_N / union_N.clamp_min(torch.finfo(union_N.dtype).tiny), 1.0)


def _frozen_selector(selector: SaliencySelector, device: str) -> SaliencySelector:
    copied = frozen_copy(selector, device)
    assert isinstance(copied, SaliencySelector)
    return copied
