"""The predictor: classifies masked images as the dense network classifies whole ones.

Shape suffixes used in this file:
    N  images in the batch
    C  classes, or colour channels in NCHW
    H, W  image height and width in pixels

References:
    [Ganjdanesh2022] ISP, ECCV 2022.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruning_core.config import SaliencyConfig
from pruning_core.data import Batch, DataSplits
from pruning_core.distributed.processes import ALONE, Processes
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.precision import run_in
from pruning_core.progress import StepReport, report_no_step
from pruning_core.saliency.fitting import fit, seeded_globally
from pruning_core.saliency.freezing import frozen_copy, in_channels_last
from pruning_core.saliency.losses import prediction_divergence
from pruning_core.saliency.mask_sampling import sample_keep_probabilities, sample_pixels
from pruning_core.setting_types import Precision
from pruning_core.training import TrainingState


def train_predictor(  # noqa: PLR0913 # what to train, and where and how it runs
    dense: nn.Module,
    data: DataSplits,
    settings: SaliencyConfig,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
    report: StepReport = report_no_step,
    processes: Processes = ALONE,
    start: TrainingState | None = None,
    see_state: Callable[[TrainingState], None] | None = None,
) -> nn.Module:
    """Train a copy of the dense network to keep its output when it sees randomly masked images only.

    Minimises KL(dense(x) || predictor(x * m)) over images and fresh random masks; no labels are used. Masks
    multiply normalised images, so what they remove becomes the mean colour. The reference implementation
    normalises differently here than where the dense network was trained; this one does not.

    Args:
        dense: Left as it is.
        data: Its training images, with their augmentation.
        settings: ``predictor`` and the family of masks; ``seed`` gives masks, order and initial weights. Masks are
            drawn on the device: another kind of device draws others.
        device: Where to train.
        precision: Of passes through the networks.
        report: Told of every step as (done, total).
        processes: Train together (see ``fit``); each draws masks of its own.
        start: Go on from here.
        see_state: Called between two epochs with what the training could go on from.

    Returns:
        The predictor of the last step, in evaluation mode.

    Raises:
        NonFiniteLossError: Training diverged.
        UnsupportedNetworkError: It should start from scratch, but a layer cannot be re-initialised.
    """
    teacher = frozen_copy(dense, device)
    warm_start = settings.predictor.warm_start
    student = (copy.deepcopy(dense) if warm_start else reinitialised_copy(dense, settings.seed)).to(device)
    in_channels_last(student).train().requires_grad_(requires_grad=True)
    noise = torch.Generator(device).manual_seed(settings.seed + processes.rank)

    def loss_of(batch: Batch) -> Tensor:
        mask_NHW = sample_training_masks(len(batch.images_NCHW), data.image_size, settings, noise)
        with torch.no_grad():
            teacher_logits_NC = run_in(precision, teacher, batch.images_NCHW)
        masked_NCHW = batch.images_NCHW * mask_NHW.unsqueeze(1)
        return prediction_divergence(teacher_logits_NC, run_in(precision, student, masked_NCHW))

    fit(
        student,
        loss_of,
        data,
        settings.predictor,
        seed=settings.seed,
        noise=noise,
        stage="predictor",
        report=report,
        processes=processes,
        start=start,
        see_state=see_state,
    )
    return student.eval()


def sample_training_masks(
    num_masks: int, size: tuple[int, int], settings: SaliencyConfig, generator: torch.Generator
) -> Tensor:
    """Draw ``mask_NHW``: Bernoulli pixels, relaxed or not, of random maps for one half, the maps for the other.

    The selector is trained on sampled masks and used with noise-free ones; the predictor must know both.
    """
    probability_NHW = sample_keep_probabilities(num_masks, size, settings, generator)
    num_sampled = (num_masks + 1) // 2
    sampled_NHW = sample_pixels(
        probability_NHW[:num_sampled],
        settings.predictor.mask_temperature,
        generator,
        hard=settings.predictor.hard_masks,
    )
    return torch.cat([sampled_NHW, probability_NHW[num_sampled:]])


def reinitialised_copy(network: nn.Module, seed: int) -> nn.Module:
    """Copy a network and draw its weights anew by its layers' own ``reset_parameters``.

    Raises:
        UnsupportedNetworkError: A layer has parameters of its own but no ``reset_parameters``.
    """
    fresh = copy.deepcopy(network)
    with seeded_globally(seed):
        for name, module in fresh.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UnsupportedNetworkError(
                    "saliency.predictor.warm_start=false needs every layer with parameters to have "
                    f"reset_parameters(), but {name or 'the network'!r} ({type(module).__name__}) has none; "
                    "set warm_start=true"
                )
    return fresh
