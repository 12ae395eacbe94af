"""Closed forms and invariances of RBF masks; the numbers are of the published geometry, in pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pruning_core.errors import InvalidSettingsError
from pruning_core.saliency.rbf_masks import render_rbf_masks
from pruning_core.saliency.rbf_parameters import (
    RAW_UNITS_PER_SIDE,
    RbfParameters,
    initial_raw,
    raw_to_rbf,
)

CIFAR = (32, 1 / 16)  # side in pixels, centre margin
IMAGENET = (224, 4 / 224)


def one_bump(
    row: float, column: float, width: float, size: tuple[int, int], amplitude: float = 1.0
) -> RbfParameters:
    """A bump given in pixels."""
    height, columns = size
    return RbfParameters(
        centres_NK2=torch.tensor([[[row / height, column / columns]]], dtype=torch.float64),
        widths_NK=torch.tensor([[width / max(size)]], dtype=torch.float64),
        amplitudes_NK=torch.tensor([[amplitude]], dtype=torch.float64),
    )


def random_bumps(num_masks: int, num_basis: int, seed: int = 0) -> RbfParameters:
    generator = torch.Generator().manual_seed(seed)
    return RbfParameters(
        centres_NK2=0.1 + 0.8 * torch.rand(num_masks, num_basis, 2, generator=generator),
        widths_NK=0.05 + 0.3 * torch.rand(num_masks, num_basis, generator=generator),
        amplitudes_NK=torch.rand(num_masks, num_basis, generator=generator),
    )


def draw_pixel_by_pixel(rbf: RbfParameters, size: tuple[int, int]) -> Tensor:
    """The slow, dense definition: every pixel's distance to every centre."""
    height, width = size
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    masks = []
    for centres_K2, widths_K, amplitudes_K in zip(
        rbf.centres_NK2, rbf.widths_NK, rbf.amplitudes_NK, strict=True
    ):
        missed = torch.ones(size, dtype=rbf.widths_NK.dtype)
        for (row, column), share, amplitude in zip(centres_K2, widths_K, amplitudes_K, strict=True):
            squared = (rows - row * height) ** 2 + (columns - column * width) ** 2
            missed = missed * (1 - amplitude * torch.exp(-squared / (2 * (share * max(size)) ** 2)))
        masks.append(1 - missed)
    return torch.stack(masks)


@pytest.mark.parametrize("amplitude", [1.0, 0.6])
def test_a_bump_peaks_at_its_amplitude_and_falls_to_exp_minus_half_one_width_away(amplitude: float) -> None:
    mask = render_rbf_masks(one_bump(12, 20, 4, (32, 32), amplitude), (32, 32))[0]
    assert mask.max() == mask[12, 20] == amplitude
    assert mask[16, 20].item() == pytest.approx(amplitude * math.exp(-0.5))
    assert mask[12, 16].item() == pytest.approx(amplitude * math.exp(-0.5))


@pytest.mark.parametrize("width", [1.0, 5.0, 10.0])
def test_the_largest_pixel_of_an_off_grid_bump_is_bounded_below(width: float) -> None:
    mask = render_rbf_masks(one_bump(12.5, 7.5, width, (32, 32)), (32, 32))
    assert mask.max().item() >= math.exp(-1 / (4 * width**2)) - 1e-12


def test_values_lie_between_zero_and_one_and_fall_with_distance() -> None:
    assert render_rbf_masks(random_bumps(200, 4), (24, 24)).min() >= 0
    assert render_rbf_masks(random_bumps(200, 4), (24, 24)).max() <= 1
    along = render_rbf_masks(one_bump(16, 16, 6, (32, 32)), (32, 32))[0, 16, 16:]
    assert (along.diff() < 0).all()


def test_first_coordinate_is_the_row() -> None:
    mask = render_rbf_masks(one_bump(3, 20, 2, (32, 32)), (32, 32))[0]
    assert divmod(int(mask.argmax()), 32) == (3, 20)


def test_flipping_rotating_and_shifting_the_centre_flips_rotates_and_shifts_the_mask() -> None:
    size = (32, 32)
    mask = render_rbf_masks(one_bump(10, 19, 4, size), size)
    flipped = render_rbf_masks(one_bump(10, 31 - 19, 4, size), size)
    rotated = render_rbf_masks(one_bump(31 - 19, 10, 4, size), size)
    shifted = render_rbf_masks(one_bump(13, 14, 4, size), size)
    torch.testing.assert_close(flipped, mask.flip(-1))
    torch.testing.assert_close(rotated, mask.rot90(1, (-2, -1)))
    torch.testing.assert_close(shifted[:, 3:, :-5], mask[:, :-3, 5:])


def test_bumps_are_round_in_pixels_on_images_that_are_not_square() -> None:
    size = (20, 40)
    mask = render_rbf_masks(one_bump(10, 15, 4, size), size)[0]
    assert mask.shape == size
    torch.testing.assert_close(mask[10 - 5 : 10 + 6, 15], mask[10, 15 - 5 : 15 + 6])


@pytest.mark.parametrize("size", [(32, 32), (9, 30)])
def test_separable_masks_equal_the_pixel_by_pixel_definition(size: tuple[int, int]) -> None:
    rbf = random_bumps(20, 3)
    torch.testing.assert_close(render_rbf_masks(rbf, size), draw_pixel_by_pixel(rbf, size), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("side", "width", "area"), [(32, 10, 0.4861), (224, 100, 0.6807)])
def test_mean_area_has_the_published_geometry(side: int, width: float, area: float) -> None:
    mask = render_rbf_masks(one_bump(side / 2, side / 2, width, (side, side)), (side, side))
    assert mask.mean().item() == pytest.approx(area, abs=5e-5)


def test_a_narrow_bump_has_the_area_of_a_gaussian_on_the_plane() -> None:
    """At width 5 of 32 pixels that is .1534 (published), of which the border cuts off .0004."""

    def area(width: float) -> float:
        return render_rbf_masks(one_bump(16, 16, width, (32, 32)), (32, 32)).mean().item()

    assert area(2) == pytest.approx(2 * math.pi * 2**2 / 32**2, rel=1e-6)
    assert area(5) == pytest.approx(0.1534, abs=5e-4)


def test_one_bump_of_several_alone_is_exactly_that_bump() -> None:
    alone = random_bumps(5, 1)
    nothing = random_bumps(5, 2, seed=1)
    together = RbfParameters(
        centres_NK2=torch.cat([alone.centres_NK2, nothing.centres_NK2], dim=1),
        widths_NK=torch.cat([alone.widths_NK, nothing.widths_NK], dim=1),
        amplitudes_NK=torch.cat([alone.amplitudes_NK, torch.zeros(5, 2)], dim=1),
    )
    assert torch.equal(render_rbf_masks(together, (16, 16)), render_rbf_masks(alone, (16, 16)))


def test_the_order_of_bumps_does_not_matter() -> None:
    rbf = random_bumps(5, 4)
    order = torch.tensor([2, 0, 3, 1])
    permuted = RbfParameters(
        centres_NK2=rbf.centres_NK2[:, order],
        widths_NK=rbf.widths_NK[:, order],
        amplitudes_NK=rbf.amplitudes_NK[:, order],
    )
    torch.testing.assert_close(render_rbf_masks(permuted, (16, 16)), render_rbf_masks(rbf, (16, 16)))


@pytest.mark.parametrize("width", [0.5, 3.0, 5.0, 8.0, 12.0, 20.0, 60.0])
def test_a_wider_bump_covers_more_and_autograd_knows_how_much(width: float) -> None:
    def area(pixels: float) -> float:
        return render_rbf_masks(one_bump(16, 16, pixels, (32, 32)), (32, 32)).mean().item()

    rbf = one_bump(16, 16, width, (32, 32))
    rbf.widths_NK.requires_grad_()
    torch.autograd.backward(render_rbf_masks(rbf, (32, 32)).mean())
    assert rbf.widths_NK.grad is not None
    slope = rbf.widths_NK.grad.item() / 32
    assert slope > 0
    assert slope == pytest.approx((area(width + 1e-4) - area(width - 1e-4)) / 2e-4, rel=1e-5)


@pytest.mark.parametrize(("raw_width", "slope"), [(8.0, 0.0691), (15.0, 0.031)])
def test_raw_width_moves_the_area_upwards(raw_width: float, slope: float) -> None:
    """The reference implementation gives -0.0203 and -0.063 here."""
    raw = torch.tensor([[[0.0, 0.0, raw_width]]], requires_grad=True)
    torch.autograd.backward(render_rbf_masks(raw_to_rbf(raw, 1 / 16), (32, 32)).mean())
    assert raw.grad is not None
    assert raw.grad[0, 0, 2].item() == pytest.approx(slope, abs=5e-4)


@pytest.mark.parametrize(
    ("side", "margin", "middle", "low", "high"), [(*CIFAR, 16, 2, 30), (*IMAGENET, 112, 4, 220)]
)
def test_centres_start_in_the_middle_and_never_leave_the_margin(
    side: int, margin: float, middle: float, low: float, high: float
) -> None:
    raw = torch.tensor([0.0, 1e6, -1e6, 30.0, -30.0]).repeat_interleave(3).view(5, 1, 3)
    centres = raw_to_rbf(raw, margin).centres_NK2[:, 0] * side
    assert centres[0].tolist() == [middle, middle]
    assert centres.min() >= low - 1e-4
    assert centres.max() <= high + 1e-4


def test_raw_centres_are_pixels_of_thirty_two_near_the_middle() -> None:
    centres = raw_to_rbf(torch.tensor([[[0.01, -0.01, 0.0]]], dtype=torch.float64), 1 / 16).centres_NK2 * 32
    assert (centres.flatten() - 16).tolist() == pytest.approx([0.01, -0.01], rel=1e-4)


@pytest.mark.parametrize("raw_width", [-1e4, -20.0, 0.0, 10.0, 1e4])
def test_widths_are_softplus_and_everything_stays_finite_at_extremes(raw_width: float) -> None:
    raw = torch.tensor([[[0.3, 1e4, raw_width, -1e4], [-1e4, 0.0, raw_width, 1e4]]], requires_grad=True)
    rbf = raw_to_rbf(raw, 1 / 16)
    mask = render_rbf_masks(rbf, (32, 32))
    torch.autograd.backward(mask.mean() + rbf.widths_NK.log().sum())
    assert (rbf.widths_NK > 0).all()
    assert rbf.widths_NK[0, 0].item() * RAW_UNITS_PER_SIDE == pytest.approx(
        math.log1p(math.exp(min(raw_width, 50))) + max(0.0, raw_width - 50) + 1e-8, rel=1e-5
    )
    assert mask.isfinite().all()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def test_the_strongest_of_several_bumps_has_amplitude_one() -> None:
    raw = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0)) * 5
    amplitudes = raw_to_rbf(raw, 0.1).amplitudes_NK
    expected = raw[..., 3].sigmoid() / raw[..., 3].sigmoid().amax(dim=-1, keepdim=True)
    torch.testing.assert_close(amplitudes, expected)
    assert (amplitudes.amax(dim=-1) == 1).all()
    assert (raw_to_rbf(raw[:, :1, :3], 0.1).amplitudes_NK == 1).all()


def test_raw_numbers_must_fit_the_number_of_bumps() -> None:
    with pytest.raises(
        InvalidSettingsError,
        match="must have 4 raw numbers each, or 6 where they may be stretched, but got 3",
    ):
        raw_to_rbf(torch.zeros(1, 2, 3), 0.1)


def test_parameters_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="must agree"):
        RbfParameters(
            centres_NK2=torch.zeros(2, 1, 2), widths_NK=torch.ones(2, 2), amplitudes_NK=torch.ones(2, 2)
        )


def test_a_single_bump_starts_as_published() -> None:
    raw = initial_raw(1, 10 / 32)
    assert raw.shape == (1, 3)
    assert raw[0, :2].tolist() == [0, 0]
    assert raw[0, 2].item() == pytest.approx(10, abs=1e-3)
    assert initial_raw(1, 100 * 7 / 224)[0, 2].item() == pytest.approx(100)


@pytest.mark.parametrize("num_basis", [2, 3, 4])
def test_several_bumps_start_apart_smaller_and_with_one_active(num_basis: int) -> None:
    rbf = raw_to_rbf(initial_raw(num_basis, 10 / 32).unsqueeze(0), 1 / 16)
    assert rbf.widths_NK[0].tolist() == pytest.approx([10 / 32 / math.sqrt(num_basis)] * num_basis, rel=1e-5)
    distances = torch.cdist(rbf.centres_NK2[0], rbf.centres_NK2[0]) + torch.eye(num_basis)
    assert distances.min() > 0.15
    assert rbf.amplitudes_NK[0, 0] == 1
    assert rbf.amplitudes_NK[0, 1:].max() < 0.5


def stretched(a: float, b: float, *, width: float = 5.0, size: tuple[int, int] = (32, 32)) -> RbfParameters:
    return replace(
        one_bump(size[0] / 2, size[1] / 2, width, size),
        stretches_NK2=torch.tensor([[[a, b]]], dtype=torch.float64),
    )


def test_a_bump_without_stretch_is_round_to_rounding() -> None:
    drawn = render_rbf_masks(stretched(0.0, 0.0), (32, 32))
    torch.testing.assert_close(
        drawn, render_rbf_masks(one_bump(16, 16, 5, (32, 32)), (32, 32)), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.0), (0.0, -0.9), (0.4, 0.7), (-1.0, 1.0)])
def test_a_stretched_bump_is_the_gaussian_of_its_covariance(a: float, b: float) -> None:
    """Oracle: the matrix exponential, pixel by pixel."""
    size, width = (32, 40), 5.0
    shape = torch.tensor([[a, b], [b, -a]], dtype=torch.float64)
    precision = torch.linalg.inv(width**2 * torch.linalg.matrix_exp(shape))
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    offset_HW2 = torch.stack([rows - 16, columns - 20], dim=-1).double()
    expected_HW = torch.exp(-0.5 * torch.einsum("hwi,ij,hwj->hw", offset_HW2, precision, offset_HW2))
    rbf = replace(one_bump(16, 20, width, size), stretches_NK2=torch.tensor([[[a, b]]], dtype=torch.float64))
    torch.testing.assert_close(render_rbf_masks(rbf, size)[0], expected_HW, atol=1e-9, rtol=0)


def test_stretching_keeps_the_area_and_the_sign_of_a_makes_bumps_tall_or_wide() -> None:
    size = (96, 96)
    round_HW, tall_HW, wide_HW = (
        render_rbf_masks(stretched(a, 0.0, width=6.0, size=size), size)[0] for a in (0.0, 0.8, -0.8)
    )
    assert tall_HW.sum().item() == pytest.approx(round_HW.sum().item(), rel=1e-6)
    torch.testing.assert_close(tall_HW, wide_HW.T)
    assert tall_HW[48 + 12, 48] > round_HW[48 + 12, 48] > wide_HW[48 + 12, 48]


def test_raw_numbers_of_stretched_bumps_have_finite_gradients_at_zero_and_far_away() -> None:
    for value in (0.0, 1e4):
        raw = torch.zeros(2, 3, 6)
        raw[..., 2] = 8.0
        raw[..., 4:] = value
        raw.requires_grad_()
        torch.autograd.backward(render_rbf_masks(raw_to_rbf(raw, 1 / 16), (16, 16)).sum())
        assert raw.grad is not None
        assert raw.grad.isfinite().all()


@pytest.mark.parametrize("num_basis", [1, 3])
def test_stretched_bumps_start_round(num_basis: int) -> None:
    raw_KP = initial_raw(num_basis, 10 / 32, is_anisotropic=True)
    plain_KP = initial_raw(num_basis, 10 / 32)
    assert torch.equal(raw_KP[:, :-2], plain_KP)
    stretches = raw_to_rbf(raw_KP.unsqueeze(0), 1 / 16).stretches_NK2
    assert stretches is not None
    assert not stretches.any()
    assert raw_to_rbf(plain_KP.unsqueeze(0), 1 / 16).stretches_NK2 is None


def test_stretches_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stretches must be \(1, 1, 2\), but are \(1, 2\)"):
        replace(one_bump(1, 1, 1, (4, 4)), stretches_NK2=torch.zeros(1, 2))
