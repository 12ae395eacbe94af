"""Baseline importances: closed forms, slow oracles, and agreement with torch_pruning."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torch_pruning
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.channels import find_channel_groups, gate_weights
from pruning_core.channels.structures import ChannelGraph, ChannelGroup, ChannelUse, Role
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance import IMPORTANCES, ImportanceContext
from pruning_core.importance.gate_gradients import gate_gradients
from pruning_core.importance.group_norms import layer_adaptive
from tests.pruning_core_tests.channel_networks import IMAGE, graph_of, images, network_named
from tests.pruning_core_tests.importance_cases import (
    INNER,
    OUTER,
    class_images,
    each_alone,
    importance_context,
    seeded_network,
)

SHARED_WITH_TORCH_PRUNING = ("cifar_resnet8", "flattened_normalised_maps", "concatenated")
QUICK = (*SHARED_WITH_TORCH_PRUNING, "grouped_convolution", "mobilenet_v2")


def scores_of(name: str, network: nn.Module, graph: ChannelGraph) -> dict[str, Tensor]:
    """Score a network by an importance that looks at no image."""
    base = importance_context(seeded_network())
    return IMPORTANCES[name].score(replace(base, network=network, graph=graph))


def test_l2_is_the_root_mean_square_of_the_filter() -> None:
    network = seeded_network()
    expected_C = network.conv1.weight.detach().double().square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(IMPORTANCES["l2"].score(importance_context(network))[INNER], expected_C)


def test_fpgm_is_the_mean_distance_to_the_other_filters() -> None:
    network = seeded_network()
    filters = [filter_F.flatten() for filter_F in network.conv1.weight.detach().double()]
    expected = [sum(float((one - other).norm()) for other in filters) / 7 for one in filters]
    got_C = IMPORTANCES["fpgm"].score(importance_context(network))[INNER]
    torch.testing.assert_close(got_C, torch.tensor(expected, dtype=torch.float64))


def test_fpgm_gives_up_the_filter_in_the_middle_first_however_large_it_is() -> None:
    network = seeded_network(width=5)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0]])
    with torch.no_grad():
        network.conv1.weight.zero_()
        network.conv1.weight[:, :2, 0, 0] = corners + 10
    assert int(IMPORTANCES["fpgm"].score(importance_context(network))[INNER].argmin()) == 4


def test_fpgm_joins_the_filters_of_all_layers_that_produce_the_channel() -> None:
    a, b = nn.Conv2d(2, 3, 3), nn.Linear(5, 3)
    network = nn.ModuleDict({"a": a, "b": b})
    uses = tuple(ChannelUse(layer=layer, role=Role.PRODUCES, positions=each_alone(3)) for layer in "ab")
    group = ChannelGroup(name="a", num_channels=3, is_inner=False, uses=uses)
    got_C = scores_of("fpgm", network, ChannelGraph(groups=(group,), untouched=(), taps={}))["a"]
    joined_CF = torch.cat([a.weight.flatten(1), b.weight], dim=1).detach().double()
    expected_C = (joined_CF[:, None] - joined_CF[None]).norm(dim=2).sum(dim=1) / 2
    torch.testing.assert_close(got_C, expected_C)


def test_bn_scale_is_the_size_of_the_scale() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.norm1.weight[3] = -5.0
    got_C = IMPORTANCES["bn_scale"].score(importance_context(network))[INNER]
    torch.testing.assert_close(got_C, network.norm1.weight.detach().double().abs())


def test_bn_scale_refuses_a_group_without_scales_by_name() -> None:
    graph = find_channel_groups(seeded_network(), (3, 8, 8), scope="inner")
    with pytest.raises(UnsupportedNetworkError, match="group 'stem' has none; choose another method"):
        scores_of("bn_scale", seeded_network(), graph)


def test_lamp_divides_by_what_is_left_when_the_smaller_ones_are_gone() -> None:
    got_C = layer_adaptive(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64))
    assert got_C.tolist() == pytest.approx([1, 1 / 6, 2 / 5])
    assert layer_adaptive(torch.zeros(2, dtype=torch.float64)).tolist() == [0, 0]


@pytest.mark.parametrize("name", SHARED_WITH_TORCH_PRUNING)
@pytest.mark.parametrize(
    ("importance", "theirs"),
    [
        ("group_norm", torch_pruning.importance.GroupMagnitudeImportance(p=2)),
        ("lamp", torch_pruning.importance.LAMPImportance(p=2)),
    ],
)
def test_group_norm_and_lamp_agree_with_torch_pruning(
    name: str, importance: str, theirs: torch_pruning.importance.GroupMagnitudeImportance
) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    ours = scores_of(importance, network, graph)
    dependencies = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, *IMAGE))
    for group in graph.groups:
        layer = network.get_submodule(group.name)
        prune = (
            torch_pruning.prune_linear_out_channels
            if isinstance(layer, nn.Linear)
            else torch_pruning.prune_conv_out_channels
        )
        full = dependencies.get_pruning_group(layer, prune, idxs=list(range(group.num_channels)))
        torch.testing.assert_close(ours[group.name].float(), theirs(full), rtol=1e-4, atol=1e-6)


# Taylor


def cross_entropy_through_gates(
    network: nn.Module, graph: ChannelGraph, gates: dict[str, Tensor], images_NCHW: Tensor, labels_N: Tensor
) -> Tensor:
    logits_NC = functional_call(network, gate_weights(network, graph, gates), (images_NCHW,))
    return F.cross_entropy(logits_NC, labels_N, reduction="sum")


@pytest.mark.parametrize("name", QUICK)
def test_gradients_of_images_add_up_to_those_of_gated_weights(name: str) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    images_NCHW, labels_N = images(3), torch.tensor([1, 5, 7])
    gates = {group.name: torch.ones(group.num_channels, requires_grad=True) for group in graph.groups}
    loss = cross_entropy_through_gates(network, graph, gates, images_NCHW, labels_N)
    expected = torch.autograd.grad(loss, list(gates.values()))
    got = gate_gradients(network, graph, images_NCHW, labels_N)
    for gradient_NC, expected_C in zip(got.values(), expected, strict=True):
        torch.testing.assert_close(gradient_NC.sum(dim=0), expected_C, rtol=1e-3, atol=1e-5)


def test_taylor_is_the_mean_size_of_each_image_s_gradient() -> None:
    network = seeded_network()
    context = importance_context(network)
    data = class_images()
    images_NCHW = data.normalisation.apply(data.train.read(torch.arange(len(data.train))))
    total_C = torch.zeros(8)
    for image_CHW, label in zip(images_NCHW, data.train.labels_N, strict=True):
        gates = {INNER: torch.ones(8, requires_grad=True)}
        loss = cross_entropy_through_gates(network, context.graph, gates, image_CHW[None], label[None])
        total_C += torch.autograd.grad(loss, gates[INNER])[0].abs()
    got_C = IMPORTANCES["taylor"].score(context)[INNER]
    torch.testing.assert_close(got_C.float(), total_C / len(images_NCHW), rtol=1e-4, atol=1e-7)


def test_taylor_of_a_channel_that_nobody_listens_to_is_zero() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.conv2.weight[:, 2] = 0
        network.classifier.weight[:, 4] = 0
    scores = IMPORTANCES["taylor"].score(importance_context(network))
    assert scores[INNER][2] == 0
    assert scores[OUTER][4] == 0
    assert int((scores[INNER] == 0).sum()) == int((scores[OUTER] == 0).sum()) == 1


class RowsPerPixel(nn.Module):
    """A linear layer that reads one row per pixel and image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.mix = nn.Linear(4, 4)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps_NHWC = self.conv(images_NCHW).permute(0, 2, 3, 1)
        rows = self.mix(maps_NHWC.flatten(0, 2))
        logits_NC: Tensor = rows.view(len(images_NCHW), -1, 4).mean(dim=1)
        return logits_NC


def test_taylor_refuses_a_layer_whose_rows_are_not_images() -> None:
    uses = (
        ChannelUse(layer="conv", role=Role.PRODUCES, positions=each_alone(4)),
        ChannelUse(layer="mix", role=Role.CONSUMES, positions=each_alone(4)),
    )
    group = ChannelGroup(name="conv", num_channels=4, is_inner=True, uses=uses)
    base = importance_context(seeded_network())
    context = ImportanceContext(
        network=RowsPerPixel(),
        graph=ChannelGraph(groups=(group,), untouched=(), taps={}),
        data=base.data,
        settings=base.settings,
        seed=0,
    )
    with pytest.raises(UnsupportedNetworkError, match="layer 'mix' must read one row per image"):
        IMPORTANCES["taylor"].score(context)
