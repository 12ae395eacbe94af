"""Train the selector: which few pixels keep the dense network's prediction?

Shape suffixes used in this file:
    N  images in the batch
    C  classes, or colour channels in NCHW
    K, P  bumps per mask, raw numbers per bump
    H, W  image height and width in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruning_core.config import SaliencyConfig
from pruning_core.data import Batch, DataSplits, iterate_batches
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import InvalidSettingsError
from pruning_core.precision import run_in
from pruning_core.progress import StepReport, report_no_step
from pruning_core.saliency.explanations import explain
from pruning_core.saliency.fitting import fit
from pruning_core.saliency.freezing import frozen_copy
from pruning_core.saliency.losses import SelectorLoss, selector_loss
from pruning_core.saliency.mask_sampling import sample_pixels
from pruning_core.saliency.selector import SaliencySelector, build_selector
from pruning_core.setting_types import Precision
from pruning_core.training import TrainingState

_CHECKED_IMAGES = 256


def train_selector(  # noqa: PLR0913 # what to train, and where and how it runs
    dense: nn.Module,
    predictor: nn.Module,
    data: DataSplits,
    settings: SaliencyConfig,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
    report: StepReport = report_no_step,
    processes: Processes = ALONE,
    start: TrainingState | None = None,
    see_state: Callable[[TrainingState], None] | None = None,
) -> SaliencySelector:
    """Train a selector on a frozen dense network and a frozen predictor; no labels are used.

    Args:
        dense: Gives maps, predictions and the class to explain; left as it is.
        predictor: Judges the masked images; gradients flow through it to the mask. Left as it is.
        data: Its training images, with their augmentation.
        settings: ``selector``, ``num_basis`` and geometry; ``seed`` gives weights, order and mask noise.
        device: Where to train.
        precision: Of passes through the networks.
        report: Told of every step as (done, total).
        processes: Train together (see ``fit``); each draws masks of its own.
        start: Go on from here.
        see_state: Called between two epochs with what the training could go on from.

    Returns:
        The selector of the last step, in evaluation mode.

    Raises:
        InvalidSettingsError: The masks shrank to nothing, or no selector fits (see ``build_selector``).
        UnsupportedNetworkError: The network has no maps to read.
        NonFiniteLossError: Training diverged.
    """
    selector = build_selector(dense, settings, num_classes=data.num_classes, input_shape=data.input_shape).to(
        device
    )
    selector.train()
    dense, predictor = frozen_copy(dense, device), frozen_copy(predictor, device)
    noise = torch.Generator(device).manual_seed(settings.seed + processes.rank)

    def loss_of(batch: Batch) -> Tensor:
        return selector_loss_of(
            selector, dense, predictor, batch.images_NCHW, settings, noise, precision
        ).total

    fit(
        selector,
        loss_of,
        data,
        settings.selector,
        seed=settings.seed,
        noise=noise,
        stage="selector",
        report=report,
        processes=processes,
        start=start,
        see_state=see_state,
    )
    _refuse_empty_masks(selector.eval(), dense, data, settings)
    return selector


@torch.no_grad()
def _refuse_empty_masks(
    selector: SaliencySelector, dense: nn.Module, data: DataSplits, settings: SaliencyConfig
) -> None:
    """Empty masks have no gradient to recover by, and all explanations would be alike."""
    device = next(selector.parameters()).device
    batches = iterate_batches(data.train, data.normalisation, batch_size=_CHECKED_IMAGES, device=device)
    raw_NKP = explain(dense, selector, next(batches).images_NCHW).raw_NKP
    num_pixels = selector.draw(raw_NKP, data.image_size).sum(dim=(-2, -1)).mean().item()
    if num_pixels < 1:
        raise InvalidSettingsError(
            "saliency.selector.area_weight must leave masks of at least one pixel, but with "
            f"{settings.selector.area_weight:g} they shrank to {num_pixels:.2g} pixels; lower it"
        )


def selector_loss_of(
    selector: SaliencySelector,
    dense: nn.Module,
    predictor: nn.Module,
    images_NCHW: Tensor,
    settings: SaliencyConfig,
    noise: torch.Generator,
    precision: Precision = "float32",
) -> SelectorLoss:
    """Explain images, mask them with sampled pixels and compare the predictions; differentiable in the selector.

    Args:
        selector: What learns.
        dense: Frozen.
        predictor: Frozen.
        images_NCHW: Normalised images.
        settings: Its ``selector`` part.
        noise: Source of the sampled pixels.
        precision: Of passes through the networks.
    """
    explanation = explain(dense, selector, images_NCHW, precision=precision)
    height, width = images_NCHW.shape[-2:]
    probability_NHW = selector.draw(explanation.raw_NKP, (height, width))
    sample_NHW = sample_pixels(
        probability_NHW, settings.selector.mask_temperature, noise, hard=settings.selector.hard_masks
    )
    masked_logits_NC = run_in(precision, predictor, images_NCHW * sample_NHW.unsqueeze(1))
    return selector_loss(
        explanation.logits_NC, masked_logits_NC, sample_NHW, probability_NHW, settings.selector
    )
