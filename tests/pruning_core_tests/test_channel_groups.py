from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.channels import ChannelGraph, ChannelGroup, Role, find_channel_groups
from pruning_core.errors import InvalidSettingsError
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    LARGE,
    QUICK,
    Concatenated,
    build_lively,
    graph_of,
    network_named,
)

SCOPES = ("inner", "all")
ALL_NETWORKS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


def _group(graph: ChannelGraph, name: str) -> ChannelGroup:
    return next(group for group in graph.groups if group.name == name)


def _positions(group: ChannelGroup, layer: str, role: Role) -> tuple[tuple[int, ...], ...]:
    return next(use.positions for use in group.uses if use.layer == layer and use.role is role)


def _reasons(graph: ChannelGraph) -> dict[str, str]:
    return {untouched.layer: untouched.reason for untouched in graph.untouched}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_every_output_position_of_every_layer_is_in_one_group_or_the_layer_is_left_alone_with_a_reason(
    name: str, scope: str
) -> None:
    graph, reasons = graph_of(name, scope), _reasons(graph_of(name, scope))
    grouped: Counter[tuple[str, int]] = Counter(
        (use.layer, position)
        for group in graph.groups
        for use in group.uses
        if use.role is not Role.CONSUMES
        for positions in use.positions
        for position in positions
    )
    assert set(grouped.values()) <= {1}
    for layer, module in network_named(name).named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            covered = sum(place[0] == layer for place in grouped)
            assert covered == (0 if layer in reasons else module.weight.shape[0])
    assert all(reason for reason in reasons.values())


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_inner_scope_holds_every_group_but_those_that_additions_couple(name: str, scope: str) -> None:
    graph = graph_of(name, scope)
    for group in graph.groups:
        producers = [use.layer for use in group.uses if use.role is Role.PRODUCES]
        is_gated = any(".fc2" in layer or ".se." in layer for layer in producers)
        assert group.is_inner or len(producers) > 1
        assert not group.is_inner or len(producers) == 1 + is_gated
        assert group.is_inner or scope == "all"
        assert group.name == producers[0]
        assert all(len(use.positions) == group.num_channels for use in group.uses)
    inner = [group.name for group in graph_of(name, "all").groups if group.is_inner]
    assert inner == [group.name for group in graph_of(name, "inner").groups]


def test_an_inner_group_of_a_residual_block_names_its_layers_and_roles() -> None:
    group = _group(graph_of("cifar_resnet20", "inner"), "layer2.0.conv1")
    assert [(use.layer, use.role) for use in group.uses] == [
        ("layer2.0.conv1", Role.PRODUCES),
        ("layer2.0.bn1", Role.FOLLOWS),
        ("layer2.0.conv2", Role.CONSUMES),
    ]
    assert group.num_channels == 32
    assert all(use.positions == tuple((channel,) for channel in range(32)) for use in group.uses)


def test_the_residual_stream_of_a_stage_is_one_group_in_scope_all_only() -> None:
    everything = graph_of("cifar_resnet20", "all")
    assert [(group.name, group.num_channels) for group in everything.groups if not group.is_inner] == [
        ("conv1", 16),
        ("layer2.0.conv2", 32),
        ("layer3.0.conv2", 64),
    ]
    producers = [use.layer for use in _group(everything, "layer2.0.conv2").uses if use.role is Role.PRODUCES]
    assert producers == ["layer2.0.conv2", "layer2.0.shortcut.0", "layer2.1.conv2", "layer2.2.conv2"]
    reasons = _reasons(graph_of("cifar_resnet20", "inner"))
    assert reasons["layer2.1.conv2"].startswith("coupled by an addition (residual stream)")
    assert reasons["linear"] == "its channels are the network's output"


def test_residual_channels_that_pass_a_zero_padding_shortcut_are_left_alone_by_name() -> None:
    for scope in SCOPES:
        graph = graph_of("cifar_resnet8_zero_pad", scope)
        assert [group.name for group in graph.groups] == [f"layer{stage}.0.conv1" for stage in (1, 2, 3)]
        reasons = _reasons(graph)
        for layer in ("conv1", "layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv2"):
            assert reasons[layer] == "its channels are padded with zero channels (a zero-padding shortcut)"


@pytest.mark.parametrize(
    ("name", "groups", "channels"),
    [
        pytest.param("cifar_resnet56_zero_pad", 27, 1008, marks=pytest.mark.slow),
        pytest.param("resnet50", 32 + 1, 7552 + 64, marks=pytest.mark.slow),  # and the stem
        ("cifar_resnet20", 9, 336),
    ],
)
def test_inner_groups_are_as_many_as_the_gates_of_the_papers_networks(
    name: str, groups: int, channels: int
) -> None:
    graph = graph_of(name, "inner")
    assert (len(graph.groups), graph.num_channels) == (groups, channels)


def test_a_depthwise_convolution_follows_the_channels_it_works_on() -> None:
    group = _group(graph_of("mobilenet_v2", "inner"), "features.2.conv.0.0")
    roles = {use.layer: use.role for use in group.uses}
    assert roles == {
        "features.2.conv.0.0": Role.PRODUCES,
        "features.2.conv.0.1": Role.FOLLOWS,
        "features.2.conv.1.0": Role.FOLLOWS,
        "features.2.conv.1.1": Role.FOLLOWS,
        "features.2.conv.2": Role.CONSUMES,
    }
    assert group.is_inner


def test_a_flatten_gives_each_channel_all_places_of_its_map() -> None:
    group = _group(graph_of("flattened_maps", "inner"), "features.4")
    positions = _positions(group, "classifier.0", Role.CONSUMES)
    assert positions == tuple(tuple(range(16 * channel, 16 * channel + 16)) for channel in range(20))


@pytest.mark.slow
def test_vgg_flattens_seven_by_seven_places() -> None:
    group = _group(graph_of("vgg16", "inner"), "features.28")
    assert _positions(group, "classifier.0", Role.CONSUMES)[511] == tuple(range(511 * 49, 512 * 49))


def test_concatenated_channels_are_shifted_where_they_are_read() -> None:
    graph = graph_of("concatenated", "inner")
    shifted = tuple((6 + channel,) for channel in range(10))
    right = _group(graph, "right")
    assert [use.layer for use in right.uses] == ["right", "norm", "slope", "head"]
    assert _positions(right, "norm", Role.FOLLOWS) == shifted
    assert _positions(right, "head", Role.CONSUMES) == shifted
    assert _positions(_group(graph, "left"), "head", Role.CONSUMES) == tuple((c,) for c in range(6))


def test_a_grouped_convolution_loses_whole_convolution_groups() -> None:
    (group,) = graph_of("grouped_convolution", "inner").groups
    assert (group.name, group.num_channels, group.is_inner) == ("reduce", 4, True)
    assert _positions(group, "reduce", Role.PRODUCES)[1] == (4, 5, 6, 7)
    assert _positions(group, "grouped", Role.FOLLOWS)[1] == (6, 7, 8, 9, 10, 11)
    assert _positions(group, "head", Role.CONSUMES)[3] == (18, 19, 20, 21, 22, 23)


class _Gated(nn.Module):
    """A convolution with squeeze-and-excitation, in a residual block if ``is_residual``."""

    def __init__(self, *, is_residual: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, 5)
        self.is_residual = is_residual

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.silu(self.conv(x))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = x + y if self.is_residual else y
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any


def test_squeeze_and_excitation_joins_the_channels_it_multiplies_to_an_inner_group() -> None:
    graph = find_channel_groups(_Gated(is_residual=False), IMAGE, scope="all")
    group = _group(graph, "conv")
    assert [use.layer for use in group.uses if use.role is Role.PRODUCES] == ["conv", "excite"]
    assert [use.layer for use in group.uses if use.role is Role.CONSUMES] == ["squeeze", "head"]
    assert group.is_inner
    assert find_channel_groups(_Gated(is_residual=False), IMAGE, scope="inner") == graph


def test_squeeze_and_excitation_in_front_of_an_addition_belongs_to_the_residual_stream() -> None:
    graph = find_channel_groups(_Gated(is_residual=True), IMAGE, scope="all")
    group = _group(graph, "stem")
    assert [use.layer for use in group.uses if use.role is Role.PRODUCES] == ["stem", "conv", "excite"]
    assert not group.is_inner
    inner = find_channel_groups(_Gated(is_residual=True), IMAGE, scope="inner")
    assert [group.name for group in inner.groups] == ["squeeze"]
    assert _reasons(inner)["excite"] == "coupled by an addition (residual stream); scope is 'inner'"


class _AddsToItself(nn.Module):
    def __init__(self, combine: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 5)
        self.combine = combine

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.combine(self.first(x), self.second(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("combine", "is_inner"),
    [
        (lambda first, second: first * second, True),
        (lambda first, second: first / (1 + second.exp()), True),
        (lambda first, second: (first + first.tanh()) * second, True),  # both summands come from one layer
        (lambda first, second: first * second + first, True),
        (lambda first, second: first + second, False),
        (lambda first, second: first - 2 * second, False),
        (torch.maximum, False),
        (lambda first, second: torch.where(first > 0, first, second), False),
    ],
)
def test_what_combines_two_layers_decides_whether_they_are_a_residual_stream(
    combine: Callable[[Tensor, Tensor], Tensor], is_inner: bool
) -> None:
    (group,) = find_channel_groups(_AddsToItself(combine), IMAGE, scope="all").groups
    assert [use.layer for use in group.uses if use.role is Role.PRODUCES] == ["first", "second"]
    assert group.is_inner == is_inner


@pytest.mark.parametrize("name", ["cifar_resnet8", "mobilenet_v2", "flattened_normalised_maps"])
def test_finding_groups_leaves_the_network_and_the_random_state_as_they_were(name: str) -> None:
    network = build_lively(QUICK[name]).train()
    next(network.parameters()).requires_grad = False
    state = {key: values.clone() for key, values in network.state_dict().items()}
    flags = [(module.training, getattr(module, "inplace", None)) for module in network.modules()]
    gradients = [parameter.requires_grad for parameter in network.parameters()]
    random_state = torch.get_rng_state()
    first = find_channel_groups(network, IMAGE, scope="all", taps=())
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())
    assert flags == [(module.training, getattr(module, "inplace", None)) for module in network.modules()]
    assert gradients == [parameter.requires_grad for parameter in network.parameters()]
    assert torch.equal(random_state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in network.modules())
    assert find_channel_groups(network, IMAGE, scope="all") == first


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_groups_are_found_where_gradients_are_off(
    context: Callable[[], AbstractContextManager[None]],
) -> None:
    with context():
        assert find_channel_groups(network_named("concatenated"), IMAGE, scope="all") == graph_of(
            "concatenated", "all"
        )


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match=r"must be 'inner' or 'all', but got 'outer'"):
        find_channel_groups(Concatenated(), IMAGE, scope="outer")
