"""The predictor learns to read masked images and leaves the dense network alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.config import PredictorConfig, SaliencyConfig
from pruning_core.data import iterate_batches
from pruning_core.errors import NonFiniteLossError, UnsupportedNetworkError
from pruning_core.saliency import train_predictor
from pruning_core.saliency.predictor import reinitialised_copy, sample_training_masks
from tests.pruning_core_tests.saliency_cases import (
    QUICK,
    TinyNetwork,
    classifier_of_patches,
    fingerprint,
    patch_data,
)


def with_predictor(**changes: object) -> SaliencyConfig:
    return QUICK.model_copy(update={"predictor": QUICK.predictor.model_copy(update=changes)})


def masked_divergence(dense: nn.Module, predictor: nn.Module, settings: SaliencyConfig) -> float:
    """KL(dense || predictor) on masked validation images."""
    data, generator, total = patch_data(), torch.Generator().manual_seed(9), 0.0
    with torch.no_grad():
        for batch in iterate_batches(data.validation, data.normalisation, batch_size=60):
            masks = sample_training_masks(len(batch.images_NCHW), data.image_size, settings, generator)
            wanted = dense(batch.images_NCHW).log_softmax(dim=1)
            got = predictor(batch.images_NCHW * masks.unsqueeze(1)).log_softmax(dim=1)
            total += F.kl_div(got, wanted, log_target=True, reduction="batchmean").item()
    return total


def test_training_lowers_the_divergence_on_masked_images() -> None:
    dense, settings = classifier_of_patches(), with_predictor(epochs=4)
    predictor = train_predictor(dense, patch_data(192), settings)
    before = masked_divergence(dense, dense, settings)
    assert masked_divergence(dense, predictor, settings) < 0.7 * before


@pytest.mark.parametrize("hard_masks", [False, True])
def test_half_of_the_masks_are_sampled_hard_or_not_and_half_are_maps(*, hard_masks: bool) -> None:
    settings, generator = with_predictor(hard_masks=hard_masks), torch.Generator().manual_seed(0)
    masks_NHW = sample_training_masks(9, (16, 16), settings, generator)
    is_hard_N = ((masks_NHW == 0) | (masks_NHW == 1)).flatten(1).all(dim=1)
    assert is_hard_N.tolist() == [hard_masks] * 5 + [False] * 4


def test_the_dense_network_stays_bit_by_bit_the_same() -> None:
    dense = TinyNetwork().train()
    before = fingerprint(dense)
    predictor = train_predictor(dense, patch_data(), QUICK)
    assert fingerprint(dense) == before
    assert dense.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in dense.parameters())
    assert fingerprint(predictor) != before
    assert not predictor.training


def test_the_seed_decides_everything_and_the_global_state_nothing() -> None:
    dense = classifier_of_patches()
    torch.manual_seed(1)
    first = train_predictor(dense, patch_data(), QUICK)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert fingerprint(train_predictor(dense, patch_data(), QUICK)) == fingerprint(first)
    other = QUICK.model_copy(update={"seed": 1})
    assert fingerprint(train_predictor(dense, patch_data(), other)) != fingerprint(first)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_cold_start_forgets_the_dense_weights() -> None:
    dense = TinyNetwork()
    fresh = reinitialised_copy(dense, seed=3)
    assert not torch.equal(fresh.get_parameter("stage1.0.weight"), dense.get_parameter("stage1.0.weight"))
    assert fingerprint(fresh) == fingerprint(reinitialised_copy(dense, seed=3))
    idle = with_predictor(learning_rate=1e-12, weight_decay=0.0)
    cold = train_predictor(
        dense,
        patch_data(),
        idle.model_copy(update={"predictor": idle.predictor.model_copy(update={"warm_start": False})}),
    )
    warm = train_predictor(dense, patch_data(), idle)
    torch.testing.assert_close(warm.get_parameter("stage1.0.weight"), dense.get_parameter("stage1.0.weight"))
    torch.testing.assert_close(
        cold.get_parameter("stage1.0.weight"),
        reinitialised_copy(dense, seed=QUICK.seed).get_parameter("stage1.0.weight"),
    )


def test_a_layer_that_cannot_be_reinitialised_is_refused() -> None:
    class Scaled(TinyNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, images_NCHW: Tensor) -> Tensor:
            return super().forward(images_NCHW) * self.scale

    with pytest.raises(
        UnsupportedNetworkError, match=r"'the network' \(Scaled\) has none; set warm_start=true"
    ):
        train_predictor(Scaled(), patch_data(), with_predictor(warm_start=False))


def test_a_diverging_loss_stops_the_training() -> None:
    dense = TinyNetwork()
    with torch.no_grad():
        dense.classifier.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="predictor"):
        train_predictor(dense, patch_data(), QUICK)


def test_every_step_is_reported() -> None:
    steps: list[tuple[int, int]] = []
    settings = QUICK.model_copy(update={"predictor": PredictorConfig(epochs=2, batch_size=40)})
    train_predictor(
        TinyNetwork(), patch_data(96), settings, report=lambda done, total: steps.append((done, total))
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_fewer_images_than_a_batch_still_train() -> None:
    steps: list[tuple[int, int]] = []
    settings = with_predictor(batch_size=512)
    train_predictor(
        TinyNetwork(), patch_data(), settings, report=lambda done, total: steps.append((done, total))
    )
    assert steps == [(1, 1)]


def test_half_of_the_masks_are_sampled_and_half_are_as_selectors_are_used() -> None:
    masks = sample_training_masks(200, (16, 16), QUICK, torch.Generator().manual_seed(0))
    is_binary = ((masks < 0.02) | (masks > 0.98)).float().mean(dim=(-2, -1))
    assert is_binary[:100].min() > is_binary[100:].mean()
    assert masks[:100].mean().item() == pytest.approx(masks[100:].mean().item(), abs=0.03)
