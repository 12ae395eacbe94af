"""Stages ``predictor``, ``selector`` and ``explanations``: what the dense network looks at.

Shape suffixes used in this file:
    N     images
    K, P  basis functions per mask, raw numbers per basis function
"""

from __future__ import annotations

import copy

from torch import nn

from pruning_core.data import LabelledImages, stratified_subset
from pruning_core.gating.steering_batches import SteeringSet
from pruning_core.saliency import (
    SaliencySelector,
    build_selector,
    dense_explanations,
    selector_agreement,
    train_predictor,
    train_selector,
)
from pruning_core.stages.artifact_store import Artifact, network_tensors
from pruning_core.stages.checkpoints import CheckpointWriter, continued_seconds, latest_state, state_of
from pruning_core.stages.context import StageContext
from pruning_core.stages.dense import load_dense


def build_predictor(context: StageContext) -> Artifact:
    """Train the network that classifies masked images as the dense network classifies whole ones; goes on if killed."""
    start = latest_state(context, "predictor", until=context.config.saliency.predictor.epochs - 1)
    predictor = train_predictor(
        load_dense(context),
        context.data,
        context.config.saliency,
        device=context.device,
        precision=context.config.precision,
        report=context.report,
        processes=context.processes,
        start=state_of(start),
        see_state=CheckpointWriter(context, "predictor", start).see,
    )
    return Artifact(tensors=network_tensors(predictor), facts={"continued": continued_seconds(start)})


def build_trained_selector(context: StageContext) -> Artifact:
    """Train the selector and say how well its masks keep the prediction, on validation images."""
    dense, predictor = load_dense(context), _load_predictor(context)
    start = latest_state(context, "selector", until=context.config.saliency.selector.epochs - 1)
    selector = train_selector(
        dense,
        predictor,
        context.data,
        context.config.saliency,
        device=context.device,
        precision=context.config.precision,
        report=context.report,
        processes=context.processes,
        start=state_of(start),
        see_state=CheckpointWriter(context, "selector", start).see,
    )
    score = selector_agreement(
        dense,
        predictor,
        selector,
        context.data.validation,
        context.data.normalisation,
        device=context.device,
    )
    return Artifact(
        tensors=network_tensors(selector),
        facts={
            "agreement": score.selector.agreement,
            "mean_area": score.selector.mean_area,
            "blob_agreement": score.blob.agreement,
            "continued": continued_seconds(start),
        },
    )


def build_explanations(context: StageContext) -> Artifact:
    """Compute once what every steering run is held to: the dense network's explanations and outputs."""
    dense, selector = load_dense(context), load_selector(context)
    found = dense_explanations(
        dense, selector, steering_images(context), context.data.normalisation, device=context.device
    )
    return Artifact(
        tensors={"raw_NKP": found.raw_NKP, "classes_N": found.classes_N, "logits_NC": found.logits_NC}
    )


def load_selector(context: StageContext) -> SaliencySelector:
    """Return the trained selector of this run on its device, in eval mode."""
    selector = build_selector(
        load_dense(context).cpu(),
        context.config.saliency,
        num_classes=context.data.num_classes,
        input_shape=context.data.input_shape,
    )
    selector.load_state_dict(dict(context.artifact("selector").tensors))
    return selector.to(context.device).eval()


def load_steering_set(context: StageContext) -> SteeringSet:
    """Return the images the gates learn from, with their targets."""
    tensors = context.artifact("explanations").tensors
    return SteeringSet(
        images=steering_images(context),
        data=context.data,
        raw_NKP=tensors["raw_NKP"],
        classes_N=tensors["classes_N"],
        logits_NC=tensors["logits_NC"],
    )


def steering_images(context: StageContext) -> LabelledImages:
    """Return the stratified training images that steer, the same for every run of a search."""
    train, count = context.data.train, context.config.gates.num_images
    if count is None or count >= len(train):
        return train
    return stratified_subset(train, count, seed=context.config.dataset.split_seed)


def _load_predictor(context: StageContext) -> nn.Module:
    predictor = copy.deepcopy(load_dense(context))
    predictor.load_state_dict(dict(context.artifact("predictor").tensors))
    return predictor.to(context.device).eval()
