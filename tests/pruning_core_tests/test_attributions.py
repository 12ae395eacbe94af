"""Attributions: completeness, closed forms, and what is asked of each entry of the table."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import InvalidSettingsError
from pruning_core.fidelity import ATTRIBUTIONS, FidelitySettings
from tests.pruning_core_tests.saliency_cases import (
    SIDE,
    classifier_of_patches,
    fingerprint,
    first_batch,
    patch_data,
)

SETTINGS = FidelitySettings()
CLASSES = torch.tensor([0, 1, 2, 1, 0])


def attribute(name: str, network: nn.Module, layer: str, images_NCHW: Tensor, classes_N: Tensor) -> Tensor:
    pytest.importorskip("captum", reason="captum is an optional extra: pip install 'prunefront[captum]'")
    return ATTRIBUTIONS[name](network, layer, images_NCHW, classes_N, SETTINGS)


def images() -> Tensor:
    return first_batch(patch_data(), len(CLASSES))


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_an_attribution_is_one_finite_map_per_image_and_leaves_the_network_alone(name: str) -> None:
    network = classifier_of_patches()
    before = fingerprint(network)
    map_NHW = attribute(name, network, "stage3", images(), CLASSES)
    assert map_NHW.shape == (len(CLASSES), SIDE, SIDE)
    assert map_NHW.isfinite().all()
    assert not map_NHW.requires_grad
    assert fingerprint(network) == before
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_an_attribution_is_of_the_class_asked_for_and_of_each_image_alone(name: str) -> None:
    network = classifier_of_patches()
    together = attribute(name, network, "stage3", images(), CLASSES)
    alone = attribute(name, network, "stage3", images()[3:4], CLASSES[3:4])
    torch.testing.assert_close(alone[0], together[3], atol=1e-4, rtol=1e-3)
    other = attribute(name, network, "stage3", images(), (CLASSES + 1) % 3)
    assert not torch.allclose(other, together, atol=1e-3)


def test_integrated_gradients_of_a_pixel_of_a_linear_network_are_its_part_of_the_logit() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3))
    linear = network[1]
    assert isinstance(linear, nn.Linear)
    found = attribute("integrated_gradients", network, "1", images(), CLASSES)
    weight_NCHW = linear.weight.detach()[CLASSES].view(-1, 3, SIDE, SIDE)
    torch.testing.assert_close(found, (weight_NCHW * images()).sum(dim=1))


def test_integrated_gradients_add_up_to_what_the_image_does_to_the_logit() -> None:
    """Completeness, for a smooth network, where so few points of quadrature are enough."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(288, 3)
        nn.init.normal_(linear.weight)
        convolutions = [nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3, stride=2), nn.Softplus()]
        network = nn.Sequential(*convolutions, nn.Flatten(), linear)
    found = attribute("integrated_gradients", network, "3", images(), CLASSES)
    with torch.no_grad():
        gained_NC = network(images()) - network(torch.zeros_like(images()))
    gained_N = gained_NC.gather(1, CLASSES.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found.sum(dim=(1, 2)), gained_N, atol=1e-3, rtol=1e-3)
    assert gained_N.abs().min() > 0.1


def test_grad_cam_before_pooling_and_a_linear_layer_weighs_channels_as_the_linear_layer_does() -> None:
    network = classifier_of_patches()
    with torch.no_grad():
        maps_NCHW = network.get_submodule("stage3")(
            network.get_submodule("stage2")(network.get_submodule("stage1")(images()))
        )
    weight_NC = network.get_parameter("classifier.weight").detach()[CLASSES]
    num_places = maps_NCHW.shape[-2] * maps_NCHW.shape[-1]
    expected = torch.einsum("nc,nchw->nhw", weight_NC, maps_NCHW) / num_places
    assert (expected < 0).any(), "places that speak against the class keep their order"
    enlarged = F.interpolate(expected.unsqueeze(1), size=(SIDE, SIDE), mode="bilinear").squeeze(1)
    found = attribute("grad_cam", network, "stage3", images(), CLASSES)
    torch.testing.assert_close(found, enlarged, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_without_captum_attributions_are_refused_with_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(InvalidSettingsError, match=r"captum must be installed .* 'prunefront\[captum\]'"):
        ATTRIBUTIONS[name](classifier_of_patches(), "stage3", images(), CLASSES, SETTINGS)
