"""What every entry of ARCHITECTURES promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning_core.architectures import ARCHITECTURES, build_network, check_supported, needs_training
from pruning_core.config import ArchitectureConfig
from tests.synthetic import same_weights

every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def build(name: str, *, num_classes: int = 5, in_channels: int = 3, seed: int = 0) -> nn.Module:
    return build_network(
        ArchitectureConfig(name=name), num_classes=num_classes, in_channels=in_channels, seed=seed
    )


@every_architecture
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("side", [16, 32])
def test_images_become_one_finite_logit_per_class(name: str, in_channels: int, side: int) -> None:
    network = build(name, in_channels=in_channels).eval()
    with torch.no_grad():
        logits_NC = network(torch.rand(2, in_channels, side, side))
    assert logits_NC.shape == (2, 5)
    assert torch.isfinite(logits_NC).all()


@every_architecture
def test_the_seed_alone_decides_the_initial_weights(name: str) -> None:
    first, again, other = (build(name, seed=seed) for seed in (3, 3, 4))
    assert same_weights(first, again)
    assert not same_weights(first, other)


@every_architecture
def test_building_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    build(name)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_architecture
def test_a_network_comes_in_training_mode_on_the_cpu_with_all_weights_trainable(name: str) -> None:
    network = build(name)
    assert network.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in network.parameters())


@every_architecture
def test_every_weight_gets_a_gradient(name: str) -> None:
    network = build(name)
    network(torch.rand(2, 3, 16, 16)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


@every_architecture
def test_without_weights_it_is_supported_and_has_to_be_trained(name: str) -> None:
    config = ArchitectureConfig(name=name)
    check_supported(config)
    assert needs_training(config, num_classes=5)
