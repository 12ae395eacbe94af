"""The steps that ``benchmarks.speed`` times, on synthetic images and an untrained network.

Shape suffixes used in this file:
    N, C, H, W  images, channels, height, width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pruning_core.architectures import build_network
from pruning_core.budgets import Resource
from pruning_core.channels import build_cost_model, find_channel_groups
from pruning_core.config import (
    ArchitectureConfig,
    GatesConfig,
    LossWeightsConfig,
    PredictorConfig,
    SaliencyConfig,
    SelectorConfig,
    TrainingConfig,
)
from pruning_core.data import Augmentation, DataSplits, ImageTensor, Normalisation, iterate_batches
from pruning_core.gating.gated_network import SteeringProblem
from pruning_core.gating.steering import steer_gates
from pruning_core.gating.steering_batches import SteeringSet
from pruning_core.precision import run_in
from pruning_core.progress import StepReport
from pruning_core.saliency import build_selector, dense_explanations, train_predictor, train_selector
from pruning_core.setting_types import Precision
from pruning_core.training import train_classifier

PLAIN = "plain"
_NUM_BATCHES = 4  # of synthetic images
_MACS_SHARE = 0.5
_SMALL, _LARGE = (32, 128, 10), (224, 32, 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What is timed: a network by name on square images of ``side`` pixels, in batches, on a device, in a precision."""

    architecture: str
    side: int
    batch: int
    num_classes: int
    device: str = "cpu"
    precision: Precision = "float32"

    @classmethod
    def of(
        cls,
        architecture: str,
        *,
        batch: int | None = None,
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> Workload:
        """Return images as large as the network is made for: CIFAR's for ours, ImageNet's for a library's."""
        side, usual, num_classes = _LARGE if ":" in architecture else _SMALL
        return cls(
            architecture=architecture,
            side=side,
            batch=batch or usual,
            num_classes=num_classes,
            device=device,
            precision=precision,
        )


def synthetic_data(workload: Workload) -> DataSplits:
    """Draw a few batches of noise; validation and test are the training images."""
    num_images = _NUM_BATCHES * workload.batch
    shape = (num_images, 3, workload.side, workload.side)
    generator = torch.Generator().manual_seed(0)
    images = ImageTensor(
        images_NCHW=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        labels_N=torch.arange(num_images) % workload.num_classes,
    )
    return DataSplits(
        train=images,
        validation=images,
        test=images,
        num_classes=workload.num_classes,
        class_names=tuple(str(label) for label in range(workload.num_classes)),
        in_channels=3,
        image_size=(workload.side, workload.side),
        normalisation=Normalisation(mean=(0.5, 0.5, 0.5), std=(0.29, 0.29, 0.29)),
        augmentation=Augmentation.CROP_FLIP,
        fingerprint="synthetic",
    )


def build_untrained(workload: Workload) -> nn.Module:
    """Build the network with random weights, in evaluation mode."""
    config = ArchitectureConfig(name=workload.architecture)
    return build_network(config, num_classes=workload.num_classes, in_channels=3).eval()


def steering_parts(
    workload: Workload, data: DataSplits, network: nn.Module
) -> tuple[SteeringProblem, SteeringSet]:
    """Build an untrained selector and ask the dense network once for what gates are steered by."""
    selector = build_selector(
        network, SaliencyConfig(), num_classes=data.num_classes, input_shape=data.input_shape
    ).eval()
    graph = find_channel_groups(
        network, data.input_shape, scope="inner", taps=[tap.layer for tap in selector.taps]
    )
    cost_model = build_cost_model(network, graph, data.input_shape)
    problem = SteeringProblem(
        network=network,
        graph=graph,
        selector=selector,
        cost_model=cost_model,
        limits={Resource.MACS: int(_MACS_SHARE * cost_model.dense.macs)},
        precision=workload.precision,
    )
    found = dense_explanations(
        network, selector, data.train, data.normalisation, device=workload.device, batch_size=workload.batch
    )
    return problem, SteeringSet(
        images=data.train,
        data=data,
        raw_NKP=found.raw_NKP,
        classes_N=found.classes_N,
        logits_NC=found.logits_NC,
    )


def plain_step(workload: Workload, data: DataSplits) -> Callable[[], None]:
    """Return one forward and backward pass in training mode to the gradients of all weights; the batch is ready."""
    network = build_untrained(workload).to(workload.device).to(memory_format=torch.channels_last).train()
    batches = iterate_batches(
        data.train, data.normalisation, batch_size=workload.batch, device=workload.device
    )
    batch = next(batches)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        logits_NC = run_in(workload.precision, network, batch.images_NCHW)
        torch.autograd.backward(F.cross_entropy(logits_NC, batch.labels_N))

    return step


def trainings(
    workload: Workload, num_steps: int, data: DataSplits | None = None
) -> Mapping[str, Callable[[StepReport], object]]:
    """Return the stages' training functions, each for about ``num_steps`` steps, that report every step.

    Each step is all that a stage does for it: reading and augmenting a batch, passes, losses and the update. Without
    ``data`` images are noise.
    """
    data, network = data or synthetic_data(workload), build_untrained(workload)
    problem, steering_set = steering_parts(workload, data, network)
    shared: dict[str, Any] = {"device": workload.device, "precision": workload.precision}
    epochs = -(-num_steps // _NUM_BATCHES)
    saliency = SaliencyConfig(
        predictor=PredictorConfig(epochs=epochs, batch_size=workload.batch),
        selector=SelectorConfig(epochs=epochs, batch_size=workload.batch),
    )
    # an epoch of one step, because epochs are reported; on a GPU the loss is then read in every step
    one_batch = replace(data, train=next_batch(data, workload.batch))
    settings = TrainingConfig(epochs=num_steps, batch_size=workload.batch)

    def steer(network_weights: str, report: StepReport) -> None:
        gates = GatesConfig.model_validate(
            {"steps": num_steps, "batch_size": workload.batch, "network_weights": network_weights}
        )
        steer_gates(
            problem, steering_set, gates, LossWeightsConfig(), seed=0, device=workload.device, report=report
        )

    return {
        "training": lambda report: train_classifier(
            build_untrained(workload), one_batch, settings, seed=0, report=report, **shared
        ),
        "steering": lambda report: steer("frozen", report),
        "joint": lambda report: steer("joint", report),
        "predictor": lambda report: train_predictor(network, data, saliency, report=report, **shared),
        "selector": lambda report: train_selector(network, network, data, saliency, report=report, **shared),
    }


def next_batch(data: DataSplits, batch: int) -> ImageTensor:
    """Return the first training images."""
    indices_N = torch.arange(batch)
    return ImageTensor(images_NCHW=data.train.read(indices_N), labels_N=data.train.labels_N[indices_N])
