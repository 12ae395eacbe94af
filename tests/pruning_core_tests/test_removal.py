"""Shape suffixes: N images, C channels or classes, H and W height and width."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.channels import (
    ChannelGraph,
    ChannelSelection,
    Layout,
    apply_layout,
    find_channel_groups,
    full_selection,
    remove_channels,
    slim_layout,
    verification,
    verify_removal,
)
from pruning_core.channels.layout import LayerLayout
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError, UnsupportedNetworkError
from tests.pruning_core_tests.channel_networks import (
    LARGE,
    NETWORKS,
    QUICK,
    graph_of,
    images,
    network_named,
    random_selection,
    smallest_selection,
)

SCOPES = ("inner", "all")
ALL_NETWORKS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


def _selections(graph: ChannelGraph) -> list[ChannelSelection]:
    shares = [random_selection(graph, seed=7, share=share) for share in (0.05, 0.5, 0.95)]
    return [smallest_selection(graph), *shares, random_selection(graph, seed=11), full_selection(graph)]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_slim_network_gives_the_same_output_as_the_masked_one(name: str, scope: str) -> None:
    network, graph = network_named(name), graph_of(name, scope)
    for selection in _selections(graph):
        slim = remove_channels(network, graph, selection)
        assert verify_removal(network, slim, graph, selection, images()) <= 1e-5


@pytest.mark.parametrize("name", ["cifar_resnet20", "mobilenet_v2", "concatenated", "grouped_convolution"])
def test_in_double_precision_slim_and_masked_agree_to_ten_digits(name: str) -> None:
    network, graph = copy.deepcopy(network_named(name)).double(), graph_of(name, "all")
    selection = random_selection(graph, seed=4, share=0.4)
    slim = remove_channels(network, graph, selection)
    assert verify_removal(network, slim, graph, selection, images()) <= 1e-10


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_removing_channels_changes_the_output(name: str) -> None:
    """Otherwise agreement of slim and masked would say nothing."""
    network, graph = network_named(name), graph_of(name, "all")
    slim = remove_channels(network, graph, random_selection(graph, seed=5, share=0.5))
    with torch.no_grad():
        dense_NC, slim_NC = network(images()), slim(images())
    assert (dense_NC - slim_NC).abs().max() > 1e-2 * dense_NC.abs().max()


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_keeping_everything_is_the_identity(name: str) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    same = remove_channels(network, graph, full_selection(graph))
    assert slim_layout(network, graph, full_selection(graph)) == {}
    assert same is not network
    with torch.no_grad():
        assert torch.equal(same(images()), network(images()))


@pytest.mark.parametrize("name", QUICK)
def test_tensors_and_numbers_of_a_slim_network_are_exact_parts_of_the_dense_one(name: str) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    selection = random_selection(graph, seed=6, share=0.5)
    before = {key: values.clone() for key, values in network.state_dict().items()}
    slim = remove_channels(network, graph, selection)
    layout = slim_layout(network, graph, selection)
    for layer, module in slim.named_modules():
        kept = layout.get(layer, LayerLayout())
        for key, values in module.state_dict(prefix="").items():
            if "." in key:
                continue
            expected = before[f"{layer}.{key}"]
            if "kept_out" in kept and expected.ndim > 0:
                expected = expected[kept["kept_out"]]
            if "kept_in" in kept and key == "weight":
                expected = expected[:, kept["kept_in"]]
            assert torch.equal(values, expected)
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[0] == module.out_channels
            assert module.weight.shape[1] * module.groups == module.in_channels
        if isinstance(module, nn.Linear):
            assert tuple(module.weight.shape) == (module.out_features, module.in_features)
        if isinstance(module, _BatchNorm):
            assert module.num_features == module.weight.numel()
    assert all(torch.equal(values, before[key]) for key, values in network.state_dict().items())
    assert sum(p.numel() for p in slim.parameters()) < sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "name", ["cifar_resnet8", "cifar_resnet8_zero_pad", "mobilenet_v2", "grouped_convolution"]
)
def test_a_layout_in_json_and_a_state_dict_rebuild_the_slim_network(name: str) -> None:
    network, graph = network_named(name), graph_of(name, "all")
    selection = random_selection(graph, seed=8)
    slim = remove_channels(network, graph, selection)
    layout: Layout = json.loads(json.dumps(slim_layout(network, graph, selection)))
    rebuilt = apply_layout(NETWORKS[name](), layout).eval()
    rebuilt.load_state_dict(slim.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(images()), slim(images()))


def test_formats_flags_and_training_mode_carry_over() -> None:
    network = copy.deepcopy(network_named("cifar_resnet8")).double().train()
    network.get_parameter("layer1.0.conv1.weight").requires_grad = False
    graph = graph_of("cifar_resnet8", "inner")
    slim = remove_channels(network, graph, random_selection(graph, share=0.5))
    assert slim.training
    assert all(module.training for module in slim.modules())
    assert {values.dtype for values in slim.parameters()} == {torch.float64}
    assert [p.requires_grad for p in slim.parameters()] == [p.requires_grad for p in network.parameters()]
    assert all(parameter.is_leaf for parameter in slim.parameters())


def test_a_slim_network_shares_no_memory_with_the_dense_one() -> None:
    network, graph = network_named("cifar_resnet8"), graph_of("cifar_resnet8", "inner")
    slim = remove_channels(network, graph, random_selection(graph, share=0.5))
    owned = {values.untyped_storage().data_ptr() for values in network.state_dict().values()}
    assert not owned & {values.untyped_storage().data_ptr() for values in slim.state_dict().values()}


@pytest.mark.parametrize("name", ["cifar_resnet8_zero_pad", "mobilenet_v2", "flattened_normalised_maps"])
def test_a_slim_network_can_be_trained(name: str) -> None:
    graph = graph_of(name, "all")
    slim = remove_channels(network_named(name), graph, random_selection(graph, share=0.5)).train()
    loss: Tensor = F.cross_entropy(slim(images(8)), torch.arange(8))
    torch.autograd.backward(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in slim.parameters())


def test_a_wrong_slim_network_is_refused_with_the_first_layer_that_differs() -> None:
    network, graph = network_named("cifar_resnet8"), graph_of("cifar_resnet8", "inner")
    selection = random_selection(graph, share=0.5)
    slim = remove_channels(network, graph, selection)
    with torch.no_grad():
        slim.get_buffer("layer2.0.bn1.running_mean").add_(0.5)
    with pytest.raises(UnsupportedNetworkError, match=r"differ by .*, first at layer 'layer2\.0\.bn1'"):
        verify_removal(network, slim, graph, selection, images())


def test_a_network_that_gives_no_numbers_is_refused() -> None:
    network, graph = copy.deepcopy(network_named("cifar_resnet8")), graph_of("cifar_resnet8", "inner")
    selection = random_selection(graph, share=0.5)
    with torch.no_grad():
        network.get_parameter("linear.bias").fill_(torch.nan)
    slim = remove_channels(network, graph, selection)
    with pytest.raises(UnsupportedNetworkError, match="differ by nan"):
        verify_removal(network, slim, graph, selection, images())


def test_what_single_precision_rounds_is_judged_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network, graph = network_named("cifar_resnet8"), graph_of("cifar_resnet8", "inner")
    selection = random_selection(graph, share=0.5)
    slim = remove_channels(network, graph, selection)
    assert 1e-10 < verify_removal(network, slim, graph, selection, images()) <= verification.TOLERANCE
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)
    assert verify_removal(network, slim, graph, selection, images()) <= 1e-10


def test_verifying_leaves_both_networks_as_they_were() -> None:
    network, graph = copy.deepcopy(network_named("cifar_resnet8")).train(), graph_of("cifar_resnet8", "inner")
    selection = random_selection(graph, share=0.5)
    slim = remove_channels(network, graph, selection)
    before = {key: values.clone() for key, values in slim.state_dict().items()}
    verify_removal(network, slim, graph, selection, images())
    assert network.training
    assert slim.training
    assert all(torch.equal(values, before[key]) for key, values in slim.state_dict().items())


def test_a_selection_that_empties_a_group_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match="'left' must keep at least 1 of its channels"):
        ChannelSelection(kept={"left": (), "right": (1,)})


def test_a_selection_of_other_groups_is_refused() -> None:
    network, graph = network_named("concatenated"), graph_of("concatenated", "all")
    with pytest.raises(InvalidSettingsError, match="'right' is missing"):
        remove_channels(network, graph, ChannelSelection(kept={"left": (1,)}))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"middle": {"kept_out": [0], "dense_out": 6}}, "it has no layer 'middle'"),
        (
            {"left": {"kept_out": [0], "dense_out": 7}},
            "'left' has 6 output channels, but the layout is for 7",
        ),
        ({"left": {"kept_out": [1, 0], "dense_out": 6}}, "must be ascending, different and below 6"),
        ({"left": {"kept_out": [6], "dense_out": 6}}, "must be ascending, different and below 6"),
        ({"head": {"kept_in": [], "dense_in": 16}}, "kept input channels must be ascending"),
    ],
)
def test_a_layout_of_another_network_is_refused(layout: Layout, message: str) -> None:
    with pytest.raises(InvalidCheckpointError, match=message):
        apply_layout(network_named("concatenated"), layout)


def test_groups_of_unmixed_layers_go_with_their_inputs() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(14400, 2)
    )
    graph = find_channel_groups(network, (3, 32, 32), scope="inner")
    slim = remove_channels(network, graph, ChannelSelection(kept={"0": (1, 4, 6)}))
    depthwise = slim.get_submodule("1")
    assert isinstance(depthwise, nn.Conv2d)
    assert (depthwise.in_channels, depthwise.out_channels, depthwise.groups) == (3, 6, 3)
    assert torch.equal(depthwise.weight, network.get_parameter("1.weight")[[2, 3, 8, 9, 12, 13]])
