"""Layers whose channels stay, and networks that are refused: each with its reason."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from pruning_core.channels import ChannelGraph, find_channel_groups
from pruning_core.errors import UnsupportedNetworkError
from tests.pruning_core_tests.channel_networks import IMAGE
from tests.pruning_core_tests.unusual_networks import Apply, Between, Scaled


def _reasons(graph: ChannelGraph) -> dict[str, str]:
    return {untouched.layer: untouched.reason for untouched in graph.untouched}


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.GroupNorm(2, 8), "'between', a GroupNorm that cannot be sliced exactly"),
        (nn.ConvTranspose2d(8, 8, 1), "'between', a ConvTranspose2d that cannot be sliced"),
        (nn.InstanceNorm2d(8, affine=True), "its channels are rearranged"),
        (nn.LocalResponseNorm(3), "its channels are rearranged"),
        (Scaled(), "'between.scale', a parameter outside the known layers"),
        (Apply(lambda x: x.softmax(dim=1)), "SoftmaxBackward0, which is not known"),
        (Apply(lambda x: x.roll(1, dims=1)), "RollBackward0, which is not known"),
        (Apply(lambda x: x - x.mean(dim=1, keepdim=True)), "its channels are added up"),
        (Apply(lambda x: torch.cat(x.chunk(2, dim=1)[::-1], dim=1)), "taken apart by splitting"),
        (Apply(lambda x: F.channel_shuffle(x, 2)), "ChannelShuffleBackward0, which is not known"),
        (
            Apply(lambda x: F.layer_norm(x.movedim(1, -1), (8,)).movedim(-1, 1)),
            "meet a layer normalisation",
        ),
        (
            Apply(lambda x: x.permute(0, 1, 3, 2).permute(0, 3, 1, 2).flip(1).movedim(2, 1)),
            "moved to another",
        ),
        (Apply(lambda x: torch.cat([x, x], dim=2)), "another dimension than that of channels"),
        (
            Apply(lambda x: x.view(-1, 2, 4, 32, 32).mul(2).view(-1, 8, 32, 32)),
            "its channels are rearranged",
        ),
        (Apply(lambda x: F.pad(x, (0, 0, 0, 0, 1, 1))[:, 1:-1]), "padded with zero channels"),
        (Apply(lambda x: x[:, :4]), "taken apart by slicing"),
        (Apply(lambda x: x.mul(x[:, :1])), "taken apart by slicing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_channels_that_meet_what_cannot_be_sliced_are_left_alone_with_the_reason(
    between: nn.Module, reason: str
) -> None:
    read = between(torch.ones(2, 8, 32, 32)).shape[1]
    graph = find_channel_groups(Between(between, read=read), IMAGE, scope="all")
    assert reason in _reasons(graph)["first"]
    assert [group.name for group in graph.groups] == ["second"]


@pytest.mark.parametrize(
    "between",
    [
        nn.Hardswish(),
        nn.PReLU(8),
        nn.Sequential(nn.ReflectionPad2d(1), nn.AvgPool2d(3, 1)),
        nn.Upsample(scale_factor=2),
        nn.PReLU(),
        nn.Conv2d(8, 16, 3, groups=8),
        Apply(lambda x: x[:, :, ::2, ::2].clamp(0, 6)),
        Apply(lambda x: F.pad(x, (1, 1, 1, 1))),
        Apply(lambda x: x * x.mean((2, 3), keepdim=True).expand_as(x)),
        Apply(lambda x: torch.cat([x, x], dim=1)),
        Apply(lambda x: x.permute(0, 2, 3, 1).tanh().permute(0, 3, 1, 2)),
    ],
    ids=str,
)
def test_operations_on_each_channel_alone_let_channels_go(between: nn.Module) -> None:
    read = between(torch.ones(2, 8, 32, 32)).shape[1]
    graph = find_channel_groups(Between(between, read=read), IMAGE, scope="all")
    assert [(group.name, group.num_channels) for group in graph.groups] == [("first", 8), ("second", 6)]


def test_a_network_that_counts_on_a_width_keeps_it() -> None:
    graph = find_channel_groups(
        Between(Apply(lambda x: x.reshape(-1, 8, 32, 32)), width=8), IMAGE, scope="all"
    )
    assert "first" in _reasons(graph)
    assert [group.name for group in graph.groups] == ["second"]


def test_a_computed_weight_keeps_its_channels() -> None:
    computed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
    graph = find_channel_groups(Between(computed), IMAGE, scope="all")
    assert [group.name for group in graph.groups] == ["second"]
    assert "between" in _reasons(graph)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Flatten(2), nn.Linear(1024, 8)), r"'1' gives a tensor of 3 dimensions; attention"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(9, 8, 3)), r"must run on images of shape \(3, 32, 32\)"),
        (
            torchvision.models.googlenet(num_classes=5, init_weights=False),
            r"'aux1.conv.conv' is not; .*aux_logits=False",
        ),
    ],
    ids=["attention", "broken", "unused"],
)
def test_networks_that_cannot_be_traced_are_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=message):
        find_channel_groups(network, IMAGE, scope="all")
