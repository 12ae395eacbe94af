from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from pruning_core.channels import ChannelGraph, ChannelGroup, Role, find_channel_groups
from pruning_core.errors import InvalidSettingsError, UnsupportedNetworkError
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    LARGE,
    QUICK,
    Concatenated,
    FlattenedMaps,
    GroupedConvolution,
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
def test_inner_scope_holds_exactly_the_groups_with_one_producer(name: str, scope: str) -> None:
    graph = graph_of(name, scope)
    for group in graph.groups:
        producers = [use.layer for use in group.uses if use.role is Role.PRODUCES]
        assert group.is_inner == (len(producers) == 1)
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


def test_channel_attention_joins_the_channels_it_multiplies() -> None:
    class Attended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.squeeze = nn.Conv2d(8, 4, 1)
            self.excite = nn.Conv2d(4, 8, 1)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.conv(x))
            x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
            return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any

    graph = find_channel_groups(Attended(), IMAGE, scope="all")
    group = _group(graph, "conv")
    assert [use.layer for use in group.uses if use.role is Role.PRODUCES] == ["conv", "excite"]
    assert [use.layer for use in group.uses if use.role is Role.CONSUMES] == ["squeeze", "head"]
    inner = find_channel_groups(Attended(), IMAGE, scope="inner")
    assert [group.name for group in inner.groups] == ["squeeze"]


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


def test_taps_say_where_the_groups_lie_in_the_map() -> None:
    network = network_named("cifar_resnet8")
    graph = find_channel_groups(network, IMAGE, scope="all", taps=("layer1", "layer2.0.bn1"))
    assert graph.taps == {
        "layer1": (("conv1", tuple(range(16))),),
        "layer2.0.bn1": (("layer2.0.conv1", tuple(range(32))),),
    }
    assert graph.groups == graph_of("cifar_resnet8", "all").groups
    inner = find_channel_groups(network, IMAGE, scope="inner", taps=("layer1",))
    assert inner.taps == {"layer1": ()}


def test_a_tap_of_concatenated_maps_holds_both_groups() -> None:
    graph = find_channel_groups(Concatenated(), IMAGE, scope="inner", taps=("slope",))
    assert dict(graph.taps["slope"]) == {"left": tuple(range(6)), "right": tuple(range(6, 16))}


def test_a_tap_behind_a_grouped_convolution_lists_every_position_of_a_channel() -> None:
    graph = find_channel_groups(GroupedConvolution(), IMAGE, scope="inner", taps=("norm",))
    assert len(graph.taps["norm"]) == 6
    assert graph.taps["norm"][1] == ("reduce", (1, 7, 13, 19))


@pytest.mark.parametrize("tap", ["nowhere", "classifier.0", ""])
def test_taps_that_are_no_maps_are_refused(tap: str) -> None:
    with pytest.raises(InvalidSettingsError, match=r"saliency\.taps must name"):
        find_channel_groups(FlattenedMaps(normalised=False), IMAGE, scope="inner", taps=(tap,))


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match=r"must be 'inner' or 'all', but got 'outer'"):
        find_channel_groups(Concatenated(), IMAGE, scope="outer")


class _Between(nn.Module):
    """conv -> something -> conv -> head: the something decides what becomes of ``first``."""

    def __init__(self, between: nn.Module, *, width: int = 8, read: int | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.between = between
        self.second = nn.Conv2d(read or width, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(self.between(self.first(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any


class _Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.GroupNorm(2, 8), "'between', a GroupNorm that cannot be sliced"),
        (nn.ConvTranspose2d(8, 8, 1), "'between', a ConvTranspose2d that cannot be sliced"),
        (nn.InstanceNorm2d(8, affine=True), "NativeBatchNormBackward0, which is not known"),
        (nn.LocalResponseNorm(3), "padded with zero channels"),
        (_Scaled(), "'between.scale', a parameter outside the known layers"),
        (_Apply(lambda x: x.softmax(dim=1)), "SoftmaxBackward0, which is not known"),
        (_Apply(lambda x: x.roll(1, dims=1)), "RollBackward0, which is not known"),
        (_Apply(lambda x: x - x.mean(dim=1, keepdim=True)), "its channels are added up"),
        (_Apply(lambda x: torch.cat(x.chunk(2, dim=1)[::-1], dim=1)), "which has another width"),
        (_Apply(lambda x: torch.cat([x, x], dim=2)), "another dimension than that of channels"),
        (
            _Apply(lambda x: x.view(-1, 2, 4, 32, 32).mul(2).view(-1, 8, 32, 32)),
            "its channels are rearranged",
        ),
        (_Apply(lambda x: F.pad(x, (0, 0, 0, 0, 1, 1))[:, 1:-1]), "padded with zero channels"),
        (_Apply(lambda x: x[:, :4]), "taken apart by slicing"),
        (_Apply(lambda x: x.mul(x[:, :1])), "taken apart by slicing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_channels_that_meet_what_cannot_be_sliced_are_left_alone_with_the_reason(
    between: nn.Module, reason: str
) -> None:
    read = between(torch.ones(2, 8, 32, 32)).shape[1]
    graph = find_channel_groups(_Between(between, read=read), IMAGE, scope="all")
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
        _Apply(lambda x: x[:, :, ::2, ::2].clamp(0, 6)),
        _Apply(lambda x: F.pad(x, (1, 1, 1, 1))),
        _Apply(lambda x: x * x.mean((2, 3), keepdim=True).expand_as(x)),
        _Apply(lambda x: torch.cat([x, x], dim=1)),
    ],
    ids=str,
)
def test_operations_on_each_channel_alone_let_channels_go(between: nn.Module) -> None:
    read = between(torch.ones(2, 8, 32, 32)).shape[1]
    graph = find_channel_groups(_Between(between, read=read), IMAGE, scope="all")
    assert [(group.name, group.num_channels) for group in graph.groups] == [("first", 8), ("second", 6)]


def test_a_network_that_counts_on_a_width_keeps_it() -> None:
    graph = find_channel_groups(
        _Between(_Apply(lambda x: x.reshape(-1, 8, 32, 32)), width=8), IMAGE, scope="all"
    )
    assert "first" in _reasons(graph)
    assert [group.name for group in graph.groups] == ["second"]


def test_a_layer_that_runs_twice_keeps_its_channels() -> None:
    conv = nn.Conv2d(8, 8, 1)
    graph = find_channel_groups(_Between(nn.Sequential(conv, nn.ReLU(), conv)), IMAGE, scope="all")
    assert _reasons(graph)["between.0"] == "it runs several times per image, or shares its weights"
    assert "first" in _reasons(graph)


def test_layers_that_share_their_weights_keep_their_channels() -> None:
    tied = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1))
    tied[2].weight = tied[0].weight
    graph = find_channel_groups(_Between(tied), IMAGE, scope="all")
    assert {"first", "between.0", "between.2"} <= set(_reasons(graph))


def test_a_computed_weight_keeps_its_channels() -> None:
    computed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
    graph = find_channel_groups(_Between(computed), IMAGE, scope="all")
    assert [group.name for group in graph.groups] == ["second"]
    assert "between" in _reasons(graph)


def test_a_layer_outside_the_path_to_the_logits_keeps_its_channels() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 1)
            self.aside = nn.Conv2d(8, 8, 1)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            self.aside(x)
            return self.head(x.mean((2, 3)))  # type: ignore[no-any-return] # modules give Any

    reasons = _reasons(find_channel_groups(Aside(), IMAGE, scope="all"))
    assert "does not reach" in reasons["aside"]
    assert "conv" in reasons


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Flatten(2), nn.Linear(1024, 8)), r"'1' gives a tensor of 3 dimensions; attention"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(9, 8, 3)), r"must run on images of shape \(3, 32, 32\)"),
        (
            torchvision.models.googlenet(num_classes=5, init_weights=False),
            r"'aux1.conv.conv' is not; .*aux_logits=False",
        ),
        (
            torchvision.models.shufflenet_v2_x0_5(num_classes=5),
            r"torch_pruning, but it failed with ZeroDivisionError",
        ),
    ],
    ids=["attention", "broken", "unused", "shuffle"],
)
def test_networks_that_cannot_be_traced_are_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=message):
        find_channel_groups(network, IMAGE, scope="all")
