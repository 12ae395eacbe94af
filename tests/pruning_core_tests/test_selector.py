"""The selector learns where the evidence is, with everything else frozen."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import SaliencyConfig
from pruning_core.errors import InvalidSettingsError, NonFiniteLossError
from pruning_core.saliency import SaliencySelector, build_selector, train_predictor, train_selector
from pruning_core.saliency.explanations import dense_explanations
from pruning_core.saliency.freezing import frozen_copy
from pruning_core.saliency.losses import SelectorLoss
from pruning_core.saliency.selector_training import selector_loss_of
from tests.pruning_core_tests.saliency_cases import (
    NUM_CLASSES,
    QUICK,
    SIDE,
    TinyNetwork,
    classifier_of_patches,
    fingerprint,
    first_batch,
    patch_data,
    patch_images,
)

SHAPE = (3, SIDE, SIDE)


def with_selector(num_basis: int = 1, **changes: object) -> SaliencyConfig:
    selector = QUICK.selector.model_copy(update=changes)
    return QUICK.model_copy(update={"selector": selector, "num_basis": num_basis})


def build(dense: nn.Module, settings: SaliencyConfig) -> SaliencySelector:
    return build_selector(dense, settings, num_classes=NUM_CLASSES, input_shape=SHAPE)


@functools.cache
def predictor_of_patches() -> nn.Module:
    """Reads masked patch images; treat it as read-only."""
    predictor = QUICK.predictor.model_copy(update={"epochs": 12})
    settings = QUICK.model_copy(update={"predictor": predictor})
    return train_predictor(classifier_of_patches(), patch_data(384), settings)


@pytest.mark.parametrize("anisotropic", [False, True])
@pytest.mark.parametrize("num_basis", [1, 2])
def test_before_training_every_image_gets_the_initial_mask(*, num_basis: int, anisotropic: bool) -> None:
    settings = with_selector(num_basis).model_copy(update={"anisotropic": anisotropic})
    selector = build(TinyNetwork(), settings)
    maps = [torch.randn(5, tap.num_channels, *tap.size) for tap in selector.taps]
    raw = selector(maps, torch.arange(5) % NUM_CLASSES)
    assert raw.shape == (5, num_basis, (3 if num_basis == 1 else 4) + (2 if anisotropic else 0))
    torch.testing.assert_close(raw, selector.head.initial_raw_KP.expand_as(raw), atol=1e-5, rtol=0)
    expected = QUICK.initial_width / num_basis**0.5
    torch.testing.assert_close(selector.to_rbf(raw).widths_NK, torch.full((5, num_basis), expected))


def test_weights_survive_a_round_trip_and_depend_on_the_seed_alone() -> None:
    dense, settings = TinyNetwork(), with_selector(2)
    trained = train_selector(dense, dense, patch_data(), settings)
    rebuilt = build(dense, settings)
    assert fingerprint(rebuilt) != fingerprint(trained)
    rebuilt.load_state_dict(trained.state_dict())
    assert fingerprint(rebuilt) == fingerprint(trained)
    assert rebuilt.taps == trained.taps
    torch.manual_seed(7)
    assert fingerprint(build(dense, settings)) == fingerprint(build(dense, settings))
    assert fingerprint(build(dense, settings)) != fingerprint(
        build(dense, settings.model_copy(update={"seed": 1}))
    )


def test_named_taps_are_obeyed_or_refused() -> None:
    settings = QUICK.model_copy(update={"taps": ("stage2",)})
    assert [tap.layer for tap in build(TinyNetwork(), settings).taps] == ["stage2"]
    with pytest.raises(InvalidSettingsError, match="'layer1'"):
        build(TinyNetwork(), QUICK.model_copy(update={"taps": ("layer1",)}))


def test_training_leaves_dense_and_predictor_bit_by_bit_the_same() -> None:
    dense, predictor = TinyNetwork(seed=0).train(), TinyNetwork(seed=1).train()
    before = fingerprint(dense), fingerprint(predictor)
    selector = train_selector(dense, predictor, patch_data(), QUICK)
    assert (fingerprint(dense), fingerprint(predictor)) == before
    for network in (dense, predictor):
        assert network.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not selector.training
    assert fingerprint(selector) != fingerprint(build(dense, QUICK))


def test_gradients_reach_the_selector_through_the_predictor_and_nothing_else() -> None:
    dense, predictor = frozen_copy(classifier_of_patches()), frozen_copy(TinyNetwork(seed=1))
    selector = build(dense, QUICK)
    loss = selector_loss_of(
        selector, dense, predictor, first_batch(patch_data()), QUICK, torch.Generator().manual_seed(0)
    )
    torch.autograd.backward(loss.divergence)
    head = selector.head.initial_raw_KP
    assert head.grad is not None
    assert head.grad.abs().min() > 0
    assert all(parameter.grad is None for network in (dense, predictor) for parameter in network.parameters())


@pytest.mark.parametrize(
    ("num_basis", "hard", "anisotropic"),
    [(1, False, False), (2, False, False), (1, True, False), (2, True, False), (2, False, True)],
)
def test_overfitting_one_batch_lowers_divergence_and_area(
    *, num_basis: int, hard: bool, anisotropic: bool
) -> None:
    dense, predictor = frozen_copy(classifier_of_patches()), frozen_copy(predictor_of_patches())
    settings = with_selector(num_basis, area_weight=0.5, hard_masks=hard)
    settings = settings.model_copy(
        update={"initial_width": 4 / SIDE, "anisotropic": anisotropic}
    )  # too narrow for patches near the border
    selector = build(dense, settings)
    images = first_batch(patch_data())
    optimiser = torch.optim.Adam(selector.parameters(), lr=1e-2)

    def loss_now(seed: int) -> SelectorLoss:
        noise = torch.Generator().manual_seed(seed)
        return selector_loss_of(selector, dense, predictor, images, settings, noise)

    before = _mean_terms([loss_now(1000 + seed) for seed in range(8)])
    for step in range(60):
        optimiser.zero_grad()
        torch.autograd.backward(loss_now(step).total)
        optimiser.step()
    after = _mean_terms([loss_now(1000 + seed) for seed in range(8)])
    assert after[0] < 0.8 * before[0]
    assert after[1] < 0.8 * before[1]


def _mean_terms(losses: list[SelectorLoss]) -> tuple[float, float]:
    divergence = torch.stack([loss.divergence.detach() for loss in losses]).mean()
    area = torch.stack([loss.area.detach() for loss in losses]).mean()
    return divergence.item(), area.item()


def test_masks_shrink_as_the_area_weight_grows() -> None:
    """The reference implementation does the opposite."""

    def mean_width(area_weight: float) -> float:
        settings = with_selector(area_weight=area_weight, epochs=12, learning_rate=1e-2)
        selector = train_selector(classifier_of_patches(), predictor_of_patches(), patch_data(), settings)
        return widths_of(selector).mean().item()

    widths = [mean_width(weight) for weight in (0.0, 0.1, 1.0)]
    assert widths[0] > 1.1 * widths[1] > 1.2 * widths[2]


def widths_of(selector: SaliencySelector) -> Tensor:
    data = patch_data()
    explained = dense_explanations(classifier_of_patches(), selector, data.validation, data.normalisation)
    return selector.to_rbf(explained.raw_NKP).widths_NK


def test_a_trained_selector_finds_the_patch_that_decides_the_class() -> None:
    settings = with_selector(epochs=30, area_weight=1.0, learning_rate=5e-3)
    selector = train_selector(classifier_of_patches(), predictor_of_patches(), patch_data(384), settings)
    images, places_N2 = patch_images(90, seed=5)
    explained = dense_explanations(classifier_of_patches(), selector, images, patch_data().normalisation)
    centres_N2 = selector.to_rbf(explained.raw_NKP).centres_NK2[:, 0] * SIDE
    for axis in (0, 1):
        correlation = torch.corrcoef(torch.stack([centres_N2[:, axis], places_N2[:, axis]]))[0, 1]
        assert correlation > 0.8
    masks_NHW = selector.draw(explained.raw_NKP, (SIDE, SIDE))
    on_patch = [
        mask[int(row - 1.5) : int(row + 2.5), int(column - 1.5) : int(column + 2.5)].mean()
        for mask, (row, column) in zip(masks_NHW, places_N2.tolist(), strict=True)
    ]
    assert torch.stack(on_patch).mean() > 2 * masks_NHW.mean()


def test_a_diverging_loss_stops_the_training() -> None:
    predictor = TinyNetwork()
    with torch.no_grad():
        predictor.classifier.bias.fill_(float("inf"))
    with pytest.raises(NonFiniteLossError, match="selector"):
        train_selector(TinyNetwork(), predictor, patch_data(), QUICK)


def test_masks_that_shrink_to_nothing_are_refused() -> None:
    settings = with_selector(area_weight=1e4, epochs=20, learning_rate=0.3)
    settings = settings.model_copy(update={"initial_width": 2 / SIDE})
    with pytest.raises(
        InvalidSettingsError, match="area_weight must leave masks of at least one pixel, but with 10000"
    ):
        train_selector(TinyNetwork(), TinyNetwork(seed=1), patch_data(), settings)


def test_the_same_seed_gives_the_same_selector() -> None:
    dense = classifier_of_patches()
    torch.manual_seed(1)
    first = train_selector(dense, dense, patch_data(), QUICK)
    torch.manual_seed(2)
    assert fingerprint(train_selector(dense, dense, patch_data(), QUICK)) == fingerprint(first)
