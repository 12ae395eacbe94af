"""Deletion and insertion curves of networks whose curves can be written down."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.fidelity import area_under, deletion_curve, insertion_curve
from pruning_core.fidelity.pixel_curves import blur
from tests.pruning_core_tests.saliency_cases import SIDE, classifier_of_patches, first_batch, patch_data

PIXELS = 16  # of a 4 x 4 image


class OnePixelNetwork(nn.Module):
    """Class 1 has the logit 3 times one pixel, class 0 has 0."""

    def __init__(self, pixel: int) -> None:
        super().__init__()
        self.pixel = pixel

    def forward(self, images_NCHW: Tensor) -> Tensor:
        seen_N = 3 * images_NCHW.flatten(1)[:, self.pixel]
        return torch.stack([torch.zeros_like(seen_N), seen_N], dim=1)


class ConstantNetwork(nn.Module):
    """Says the same of every image."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        return torch.tensor([0.0, 1.0, -1.0]).expand(len(images_NCHW), 3)


def map_ranking(pixel: int, place: int) -> Tensor:
    """A map of 4 x 4 with ``place`` pixels before a certain one."""
    others = [other for other in range(PIXELS) if other != pixel]
    order = [*others[:place], pixel, *others[place:]]
    map_P = torch.empty(PIXELS)
    map_P[order] = torch.arange(PIXELS, 0, -1.0)
    return map_P.view(1, 4, 4)


def random_maps(num_images: int, side: int, seed: int = 0) -> Tensor:
    return torch.rand(num_images, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("place", [0, 5, 15])
def test_the_class_goes_with_the_one_pixel_that_the_network_sees(place: int) -> None:
    network, images, classes = OnePixelNetwork(9), torch.ones(1, 1, 4, 4), torch.tensor([1])
    seen = torch.tensor(3.0).sigmoid().item()
    curve = deletion_curve(network, images, map_ranking(9, place), classes, num_steps=PIXELS)
    expected = [seen] * (place + 1) + [0.5] * (PIXELS - place)
    assert curve[0].tolist() == pytest.approx(expected)
    area = (seen * (place + 0.5) + 0.5 * (PIXELS - place - 0.5)) / PIXELS
    assert area_under(curve).item() == pytest.approx(area)


@pytest.mark.parametrize("place", [0, 5, 15])
def test_the_class_comes_with_the_one_pixel_that_the_network_sees(place: int) -> None:
    network, images, classes = OnePixelNetwork(9), torch.zeros(1, 1, 4, 4), torch.tensor([1])
    images.flatten()[9] = 1.0
    curve = insertion_curve(
        network, images, map_ranking(9, place), classes, num_steps=PIXELS, blur_width=0.25
    )
    before = (3 * blur(images, 0.25).flatten()[9]).sigmoid().item()
    after = torch.tensor(3.0).sigmoid().item()
    assert before < after - 0.1
    assert curve[0].tolist() == pytest.approx([before] * (place + 1) + [after] * (PIXELS - place))


def test_of_a_network_that_says_the_same_of_every_image_every_area_is_its_probability() -> None:
    images = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 1, 2])
    expected = torch.tensor([0.0, 1.0, -1.0]).softmax(0)
    for seed in (0, 1):
        maps = random_maps(3, 8, seed)
        deleted = deletion_curve(ConstantNetwork(), images, maps, classes, num_steps=5)
        inserted = insertion_curve(ConstantNetwork(), images, maps, classes, num_steps=5, blur_width=0.1)
        torch.testing.assert_close(area_under(deleted), expected)
        torch.testing.assert_close(area_under(inserted), expected)


def test_curves_go_from_the_whole_image_to_none_and_from_the_blurred_to_the_whole_one() -> None:
    network, images = classifier_of_patches(), first_batch(patch_data(), 6)
    with torch.no_grad():
        classes = network(images).argmax(dim=1)
        whole, none, blurred = (
            network(shown).softmax(dim=1).gather(1, classes.unsqueeze(1)).squeeze(1)
            for shown in (images, torch.zeros_like(images), blur(images, 0.2))
        )
    maps = random_maps(6, SIDE)
    deleted = deletion_curve(network, images, maps, classes, num_steps=7)
    inserted = insertion_curve(network, images, maps, classes, num_steps=7, blur_width=0.2)
    assert deleted.shape == inserted.shape == (6, 8)
    torch.testing.assert_close(deleted[:, 0], whole)
    torch.testing.assert_close(deleted[:, -1], none)
    torch.testing.assert_close(inserted[:, 0], blurred)
    torch.testing.assert_close(inserted[:, -1], whole)
    for area in (area_under(deleted), area_under(inserted)):
        assert ((area > 0) & (area < 1)).all()


def test_only_the_order_of_a_map_counts_and_equal_pixels_go_in_reading_order() -> None:
    network, images = classifier_of_patches(), first_batch(patch_data(), 6)
    classes, maps = torch.zeros(6, dtype=torch.int64), random_maps(6, SIDE)
    expected = deletion_curve(network, images, maps, classes, num_steps=9)
    assert torch.equal(deletion_curve(network, images, 5 * maps.exp(), classes, num_steps=9), expected)
    assert not torch.allclose(deletion_curve(network, images, -maps, classes, num_steps=9), expected)
    reading = torch.arange(SIDE * SIDE, 0, -1.0).view(1, SIDE, SIDE).expand(6, -1, -1)
    flat = deletion_curve(network, images, torch.zeros(6, SIDE, SIDE), classes, num_steps=9)
    assert torch.equal(flat, deletion_curve(network, images, reading, classes, num_steps=9))


def test_an_image_has_its_curve_whatever_images_are_beside_it() -> None:
    network, images = classifier_of_patches(), first_batch(patch_data(), 6)
    classes, maps = torch.tensor([0, 1, 2, 0, 1, 2]), random_maps(6, SIDE)
    together = deletion_curve(network, images, maps, classes, num_steps=4)
    alone = deletion_curve(network, images[4:5], maps[4:5], classes[4:5], num_steps=4)
    torch.testing.assert_close(alone[0], together[4], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("curve", "area"),
    [([0.3, 0.3, 0.3], 0.3), ([1.0, 0.5, 0.0], 0.5), ([1.0, 0.0], 0.5), ([1.0, 0.0, 0.0, 0.0, 0.0], 0.125)],
)
def test_the_area_is_the_mean_height_by_trapezoids(curve: list[float], area: float) -> None:
    assert area_under(torch.tensor([curve])).item() == pytest.approx(area)


def test_blurring_is_a_gaussian_mean_and_leaves_a_constant_image_as_it_is() -> None:
    image = torch.zeros(1, 2, 24, 20)
    image[0, 1, 12, 10] = 1
    blurred = blur(image, 1.5 / 24)
    rows, columns = torch.arange(24.0).view(-1, 1) - 12, torch.arange(20.0) - 10
    expected = torch.exp(-(rows**2 + columns**2) / (2 * 1.5**2)) * ((rows.abs() <= 5) & (columns.abs() <= 5))
    torch.testing.assert_close(blurred[0, 1], expected / expected.sum())
    assert blurred[0, 0].abs().max() == 0
    constant = torch.full((1, 3, 6, 9), 0.7)
    torch.testing.assert_close(blur(constant, 0.5), constant)
