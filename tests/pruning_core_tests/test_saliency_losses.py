"""Closed forms of the loss terms of predictor and selector."""

from __future__ import annotations

import pytest
import torch

from pruning_core.config import SelectorConfig
from pruning_core.saliency.losses import area_penalty, prediction_divergence, roughness, selector_loss

SETTINGS = SelectorConfig()


def test_divergence_is_zero_for_equal_predictions_even_if_logits_are_shifted() -> None:
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    assert prediction_divergence(logits, logits + 3).item() == pytest.approx(0, abs=1e-6)
    assert prediction_divergence(logits, logits.flip(1)).item() > 0.1


def test_divergence_has_the_teacher_first() -> None:
    teacher = torch.tensor([[0.9, 0.1]]).log()
    student = torch.tensor([[0.5, 0.5]]).log()
    expected = 0.9 * torch.log(torch.tensor(0.9 / 0.5)) + 0.1 * torch.log(torch.tensor(0.1 / 0.5))
    reverse = 0.5 * torch.log(torch.tensor(0.5 / 0.9)) + 0.5 * torch.log(torch.tensor(0.5 / 0.1))
    assert prediction_divergence(teacher, student).item() == pytest.approx(expected.item(), rel=1e-5)
    assert prediction_divergence(student, teacher).item() == pytest.approx(reverse.item(), rel=1e-5)


def test_divergence_is_the_mean_over_images() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 6, 4, generator=generator).unbind()
    each = [prediction_divergence(teacher[i : i + 1], student[i : i + 1]) for i in range(6)]
    assert prediction_divergence(teacher, student).item() == pytest.approx(torch.stack(each).mean().item())


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_area_of_empty_and_full_masks_is_the_offset_power(power: float) -> None:
    masks = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)]).requires_grad_()
    penalty = area_penalty(masks, power)
    assert penalty.tolist() == pytest.approx([5e-4**power, 1.0005**power], rel=1e-5)
    torch.autograd.backward(penalty.sum())
    assert masks.grad is not None
    assert masks.grad.isfinite().all()
    assert masks.grad.min() > 0


def test_area_of_hard_masks_has_the_same_value_and_charges_every_pixel_alike() -> None:
    mask = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)).round().requires_grad_()
    penalty = area_penalty(mask, 0.3, hard=True)
    torch.testing.assert_close(penalty, area_penalty(mask, 0.3))
    torch.autograd.backward(penalty.sum())
    assert mask.grad is not None
    torch.testing.assert_close(mask.grad, torch.full_like(mask, (1.0005**0.3 - 5e-4**0.3) / 64))


@pytest.mark.parametrize(("side", "value"), [(8, 1.0), (32, 0.4)])
def test_roughness_of_a_constant_mask_is_its_border_alone(side: int, value: float) -> None:
    constant = torch.full((5, side, side), value)
    assert roughness(constant).item() == pytest.approx(0.3 * 4 * side * value**2 / 2, rel=1e-5)
    assert roughness(torch.zeros(5, side, side)).item() == 0


def test_roughness_counts_half_the_squared_steps() -> None:
    mask = torch.zeros(1, 7, 7)
    mask[0, 3, 3] = 0.5
    assert roughness(mask).item() == pytest.approx(4 * 0.5**2 / 2)


def test_roughness_does_not_change_when_the_mask_is_rotated() -> None:
    mask = torch.rand(4, 9, 9, generator=torch.Generator().manual_seed(0))
    assert roughness(mask.rot90(1, (-2, -1))).item() == pytest.approx(roughness(mask).item(), rel=1e-5)


def test_selector_loss_adds_its_weighted_terms() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 4, 3, generator=generator).unbind()
    sample, probability = torch.rand(2, 4, 6, 6, generator=generator).unbind()
    settings = SelectorConfig(area_weight=0.7, area_power=0.5, smoothness_weight=0.01)
    loss = selector_loss(teacher, student, sample, probability, settings)
    assert loss.divergence.item() == pytest.approx(prediction_divergence(teacher, student).item())
    assert loss.area.item() == pytest.approx(area_penalty(sample, 0.5).mean().item())
    assert loss.smoothness.item() == pytest.approx(roughness(probability).item())
    assert loss.total.item() == pytest.approx(
        (loss.divergence + 0.7 * loss.area + 0.01 * loss.smoothness).item()
    )


def test_smoothness_ignores_the_sampling_noise() -> None:
    teacher = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    probability = torch.full((4, 6, 6), 0.5)
    quiet = selector_loss(teacher, teacher, probability, probability, SETTINGS)
    noisy = selector_loss(
        teacher,
        teacher,
        probability.bernoulli(generator=torch.Generator().manual_seed(1)),
        probability,
        SETTINGS,
    )
    assert noisy.smoothness == quiet.smoothness


def test_a_full_mask_and_equal_networks_diverge_by_nothing() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    full = torch.ones(4, 6, 6)
    assert selector_loss(logits, logits, full, full, SETTINGS).divergence.item() == pytest.approx(0, abs=1e-7)
