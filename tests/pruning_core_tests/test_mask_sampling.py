"""Distribution and gradients of sampled masks."""

from __future__ import annotations

import pytest
import torch

from pruning_core.config import SaliencyConfig
from pruning_core.saliency.mask_sampling import sample_keep_probabilities, sample_pixels

CIFAR = SaliencyConfig(max_num_basis=1, width_range=(5 / 32, 11 / 32))
IMAGENET = SaliencyConfig(max_num_basis=1, centre_margin=4 / 224, width_range=(80 / 224, 100 / 224))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_a_pixel_is_above_one_half_with_its_probability_at_every_temperature(
    temperature: float, probability: float
) -> None:
    pixels = sample_pixels(torch.full((100, 32, 32), probability), temperature, seeded())
    assert (pixels > 0.5).float().mean().item() == pytest.approx(probability, abs=0.005)


def test_the_mean_pixel_approaches_its_probability_as_the_temperature_falls() -> None:
    """Published: at temperature 1 the mean is .037 for probability .01 and .817 for .9."""

    def mean(probability: float, temperature: float) -> float:
        return sample_pixels(torch.full((400, 32, 32), probability), temperature, seeded()).mean().item()

    assert mean(0.01, 1.0) == pytest.approx(0.037, abs=0.002)
    assert mean(0.9, 1.0) == pytest.approx(0.817, abs=0.002)
    assert mean(0.01, 0.01) == pytest.approx(0.01, abs=0.002)
    assert mean(0.9, 0.01) == pytest.approx(0.9, abs=0.002)


def test_hard_pixels_are_zero_or_one_with_the_gradient_of_the_soft_ones() -> None:
    probability = torch.rand(8, 16, 16, generator=seeded(1))
    soft_input, hard_input = probability.clone().requires_grad_(), probability.clone().requires_grad_()
    soft = sample_pixels(soft_input, 0.5, seeded(2))
    hard = sample_pixels(hard_input, 0.5, seeded(2), hard=True)
    assert set(hard.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(hard, (soft > 0.5).float())
    upstream = torch.randn(soft.shape, generator=seeded(3))
    torch.autograd.backward((soft * upstream).sum())
    torch.autograd.backward((hard * upstream).sum())
    assert soft_input.grad is not None
    assert hard_input.grad is not None
    torch.testing.assert_close(hard_input.grad, soft_input.grad)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_certain_pixels_stay_certain_and_have_finite_gradients(temperature: float) -> None:
    probability = torch.tensor([[[0.0, 1.0, 1e-30, 1 - 1e-7]]]).repeat(50, 1, 1).requires_grad_()
    pixels = sample_pixels(probability, temperature, seeded())
    torch.autograd.backward(pixels.sum())
    assert pixels[:, 0, 0].max() < 0.5
    assert pixels[:, 0, 1].min() > 0.5
    assert probability.grad is not None
    assert probability.grad.isfinite().all()


def test_the_same_seed_gives_the_same_masks() -> None:
    settings = SaliencyConfig(max_num_basis=3)
    first = sample_keep_probabilities(10, (12, 20), settings, seeded(5))
    assert torch.equal(first, sample_keep_probabilities(10, (12, 20), settings, seeded(5)))
    assert not torch.equal(first, sample_keep_probabilities(10, (12, 20), settings, seeded(6)))
    assert torch.equal(sample_pixels(first, 0.1, seeded(5)), sample_pixels(first, 0.1, seeded(5)))


@pytest.mark.parametrize(
    ("settings", "side", "num_masks", "area", "spread"),
    [(CIFAR, 32, 5000, 0.275, 0.099), (IMAGENET, 224, 1500, 0.479, 0.090)],
)
def test_random_masks_of_one_bump_have_the_published_mean_area(
    settings: SaliencyConfig, side: int, num_masks: int, area: float, spread: float
) -> None:
    generator = seeded()
    areas = torch.cat(
        [
            sample_keep_probabilities(250, (side, side), settings, generator).mean(dim=(-2, -1))
            for _ in range(num_masks // 250)
        ]
    )
    assert areas.mean().item() == pytest.approx(area, abs=0.01)
    assert areas.std().item() == pytest.approx(spread, abs=0.01)


def test_sampled_pixels_keep_the_published_mean_area() -> None:
    generator = seeded()
    probability = sample_keep_probabilities(5000, (32, 32), CIFAR, generator)
    assert sample_pixels(probability, 0.1, generator).mean().item() == pytest.approx(0.275, abs=0.01)


@pytest.mark.parametrize("max_num_basis", [1, 4])
def test_every_random_map_reaches_exactly_one_and_stays_in_range(max_num_basis: int) -> None:
    settings = SaliencyConfig(max_num_basis=max_num_basis)
    maps = sample_keep_probabilities(2000, (16, 24), settings, seeded())
    assert (maps.amax(dim=(-2, -1)) == 1).all()
    assert maps.min() >= 0


def test_families_of_several_bumps_have_masks_with_separate_peaks() -> None:
    """A mask of one bump is one side of a threshold along a row through its peak; of several it need not be."""
    narrow = SaliencyConfig(max_num_basis=4, width_range=(0.05, 0.06))
    single = narrow.model_copy(update={"max_num_basis": 1})

    def share_with_gaps(settings: SaliencyConfig) -> float:
        maps = sample_keep_probabilities(500, (32, 32), settings, seeded())
        rows = maps.amax(dim=-1) > 0.3
        switches = rows.int().diff(dim=-1).abs().sum(dim=-1)
        return (switches > 2).float().mean().item()

    assert share_with_gaps(single) == 0
    assert share_with_gaps(narrow) > 0.2
