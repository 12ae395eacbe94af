"""Shape suffixes: N images, C channels or classes, H and W height and width."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.channels import (
    ChannelGraph,
    GatePlaces,
    Role,
    find_channel_groups,
    full_selection,
    gate_map,
    gate_weights,
    hard_gates,
    kept_map_positions,
    remove_channels,
)
from pruning_core.channels.structures import ChannelSelection
from pruning_core.channels.tap_scatter import scatter_map
from pruning_core.channels.tapping import read_maps
from pruning_core.errors import InvalidSettingsError
from tests.pruning_core_tests.channel_networks import (
    IMAGE,
    LARGE,
    QUICK,
    graph_of,
    images,
    network_named,
    random_selection,
)

ALL_NETWORKS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


@torch.no_grad()
def _gated(network: nn.Module, graph: ChannelGraph, gates: dict[str, Tensor], images_NCHW: Tensor) -> Tensor:
    logits_NC: Tensor = functional_call(network, gate_weights(network, graph, gates), (images_NCHW,))
    return logits_NC


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_open_gates_give_bit_identical_logits(name: str) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    open_gates = hard_gates(graph, full_selection(graph))
    with torch.no_grad():
        assert torch.equal(_gated(network, graph, open_gates, images()), network(images()))


@pytest.mark.parametrize(
    "name", ["cifar_resnet8", "mobilenet_v2", "flattened_normalised_maps", "concatenated"]
)
def test_closed_gates_hide_a_channel_whatever_its_layers_do(name: str) -> None:
    graph = graph_of(name, "all")
    selection = random_selection(graph, seed=1, share=0.5)
    network = copy.deepcopy(network_named(name))
    before_NC = _gated(network, graph, hard_gates(graph, selection), images())
    with torch.no_grad():
        for group in graph.groups:
            gone = [c for c in range(group.num_channels) if c not in selection.kept[group.name]]
            for use in group.uses:
                layer = network.get_submodule(use.layer)
                positions = [position for channel in gone for position in use.positions[channel]]
                if (
                    use.role is not Role.CONSUMES
                ):  # of MobileNet: the expansion, and the depthwise layer behind it
                    for parameter in layer.parameters():
                        parameter[positions] = 7.0
    assert torch.equal(_gated(network, graph, hard_gates(graph, selection), images()), before_NC)


@pytest.mark.parametrize("name", ["cifar_resnet8", "mobilenet_v2", "flattened_maps", "grouped_convolution"])
def test_gradients_of_gates_are_finite_differences_and_no_weight_is_changed(name: str) -> None:
    network, graph = copy.deepcopy(network_named(name)).double(), graph_of(name, "all")
    state = {key: values.clone() for key, values in network.state_dict().items()}
    images_NCHW = images(2, dtype=torch.float64)

    def energy(gates: dict[str, Tensor]) -> Tensor:
        logits_NC: Tensor = functional_call(network, gate_weights(network, graph, gates), (images_NCHW,))
        return logits_NC.square().sum()

    sizes = {group.name: group.num_channels for group in graph.groups}
    gates = {
        group: torch.full((size,), 0.7, dtype=torch.float64, requires_grad=True)
        for group, size in sizes.items()
    }
    torch.autograd.backward(energy(gates))
    with torch.no_grad():
        for group, gates_C in gates.items():
            assert gates_C.grad is not None
            difference = energy({**gates, group: gates_C + 1e-6}) - energy({**gates, group: gates_C - 1e-6})
            torch.testing.assert_close(difference / 2e-6, gates_C.grad.sum(), rtol=1e-3, atol=1e-6)
            assert gates_C.grad.any()
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())


def test_gates_multiply_each_consumer_along_its_inputs() -> None:
    network, graph = network_named("concatenated"), graph_of("concatenated", "all")
    gates = {"left": torch.linspace(0.1, 0.6, 6), "right": torch.linspace(0.1, 1.0, 10)}
    overrides = gate_weights(network, graph, gates)
    scale_C = torch.cat([gates["left"], gates["right"]])
    assert overrides.keys() == {"head.weight"}
    torch.testing.assert_close(overrides["head.weight"], network.get_parameter("head.weight") * scale_C)


def test_places_found_once_serve_other_gates_and_weights_that_have_moved() -> None:
    network, graph = copy.deepcopy(network_named("cifar_resnet8")), graph_of("cifar_resnet8", "all")
    places = GatePlaces(network, graph)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        gates = {group.name: torch.rand(group.num_channels, generator=generator) for group in graph.groups}
        came, wanted = places.gate_weights(places.join(gates)), gate_weights(network, graph, gates)
        assert came.keys() == wanted.keys()
        assert all(torch.equal(came[name], wanted[name]) for name in wanted)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)


def test_groups_without_gates_are_open() -> None:
    network, graph = network_named("concatenated"), graph_of("concatenated", "all")
    weight_OC = gate_weights(network, graph, {"right": torch.zeros(10)})["head.weight"]
    assert torch.equal(weight_OC[:, :6], network.get_parameter("head.weight")[:, :6])
    assert not weight_OC[:, 6:].any()
    assert gate_weights(network, graph, {}) == {}


def test_a_flattened_channel_is_gated_at_all_its_places() -> None:
    network, graph = network_named("flattened_maps"), graph_of("flattened_maps", "inner")
    gates_C = torch.ones(20)
    gates_C[3] = 0
    weight = gate_weights(network, graph, {"features.4": gates_C})["classifier.0.weight"]
    closed = (weight == 0).all(dim=0).nonzero().flatten().tolist()
    assert closed == list(range(3 * 16, 4 * 16))


def test_gates_of_other_precision_are_cast_to_the_weights() -> None:
    network, graph = network_named("concatenated"), graph_of("concatenated", "all")
    gates = {"right": torch.full((10,), 0.5, dtype=torch.float64)}
    assert gate_weights(network, graph, gates)["head.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"middle": torch.ones(6)}, "'middle' is not one"),
        ({"left": torch.ones(5)}, r"'left' needs one gate for each of its 6 channels, but got shape \(5,\)"),
    ],
)
def test_gates_that_do_not_fit_the_groups_are_refused(gates: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InvalidSettingsError, match=message):
        gate_weights(network_named("concatenated"), graph_of("concatenated", "all"), gates)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"left": (0,)}, "must cover every group, but 'right' is missing"),
        ({"left": (0,), "right": (10,)}, "'right' has 10 channels, but the selection keeps channel 10"),
        ({"left": (0,), "right": (1,), "up": (0,)}, "'up' does not exist. Groups: left, right"),
    ],
)
def test_selections_that_do_not_fit_the_groups_are_refused(
    kept: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(InvalidSettingsError, match=message):
        hard_gates(graph_of("concatenated", "all"), ChannelSelection(kept=kept))


@pytest.mark.parametrize(
    ("name", "tap"),
    [
        ("cifar_resnet8", "layer2"),
        ("cifar_resnet8", "layer2.0.bn1"),
        ("mobilenet_v2", "features.6"),
        ("concatenated", "slope"),
        ("grouped_convolution", "norm"),
    ],
)
def test_a_slim_map_scattered_to_dense_width_is_the_gated_map(name: str, tap: str) -> None:
    network = network_named(name)
    graph = find_channel_groups(network, IMAGE, scope="all", taps=(tap,))
    selection = random_selection(graph, seed=2, share=0.5)
    gates = hard_gates(graph, selection)
    overrides = gate_weights(network, graph, gates)
    with torch.no_grad():
        _, slim_maps = read_maps(remove_channels(network, graph, selection), (tap,), images())
        dense = _Overridden(network, overrides)
        _, dense_maps = read_maps(dense, (f"network.{tap}",), images())
    seen_NCHW = gate_map(dense_maps[f"network.{tap}"], tap, graph, gates)
    wide_NCHW = scatter_map(slim_maps[tap], tap, seen_NCHW.shape[1], graph, selection)
    torch.testing.assert_close(wide_NCHW, seen_NCHW, rtol=1e-4, atol=1e-5)
    kept = kept_map_positions(tap, seen_NCHW.shape[1], graph, selection).tolist()
    assert len(kept) == slim_maps[tap].shape[1] < seen_NCHW.shape[1]
    assert not seen_NCHW[:, [c for c in range(seen_NCHW.shape[1]) if c not in kept]].any()


def test_a_map_without_prunable_channels_passes_unchanged() -> None:
    graph = find_channel_groups(network_named("cifar_resnet8"), IMAGE, scope="inner", taps=("layer1",))
    map_NCHW = torch.ones(1, 16, 2, 2)
    assert gate_map(map_NCHW, "layer1", graph, hard_gates(graph, full_selection(graph))) is map_NCHW


def test_a_map_that_is_no_tap_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match="must be a tap of the channel graph, but 'head' is not"):
        gate_map(torch.ones(1, 10, 1, 1), "head", graph_of("concatenated", "all"), {})


class _Overridden(nn.Module):
    def __init__(self, network: nn.Module, overrides: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.overrides = overrides

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NC: Tensor = functional_call(self.network, self.overrides, (images_NCHW,))
        return logits_NC
