"""Task-inspired and weight importances on whole networks: invariances, planted channels, read points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning_core.architectures import build_network
from pruning_core.channels import find_channel_groups
from pruning_core.channels.structures import ChannelGraph, ChannelGroup, ChannelUse, Role
from pruning_core.config import ArchitectureConfig, ImportanceConfig
from pruning_core.data import take
from pruning_core.errors import UnsupportedNetworkError
from pruning_core.importance import FLOWS, IMPORTANCES, TASK_RELEVANCES, ImportanceContext, rate_channels
from pruning_core.importance.read_points import (
    calibration_images,
    channel_responses,
    find_read_points,
    stream_reads,
)
from pruning_core.importance.sensitivity import best_half, measure_sensitivities
from pruning_core.importance.weights_only import L1Importance
from tests.pruning_core_tests.importance_cases import (
    INNER,
    NUM_CLASSES,
    OUTER,
    DepthwiseAndFlatten,
    TwoConvolutions,
    class_images,
    each_alone,
    importance_context,
    permute_inner,
    plain_group,
    rescale_inner,
    seeded_network,
)


def scores(context: ImportanceContext, name: str = "task_inspired") -> Mapping[str, Tensor]:
    return IMPORTANCES[name].score(context)


@pytest.mark.parametrize("name", ["l1", "task_inspired"])
@pytest.mark.parametrize("greedy", [True, False])
def test_permuting_channels_permutes_scores(name: str, greedy: bool) -> None:
    before = scores(importance_context(seeded_network(), settings={"greedy": greedy}), name)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(4))
    permuted = seeded_network()
    permute_inner(permuted, order)

    after = scores(importance_context(permuted, settings={"greedy": greedy}), name)

    torch.testing.assert_close(after[INNER], before[INNER][order], rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(after[OUTER], before[OUTER], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("task_relevance", TASK_RELEVANCES)
def test_task_inspired_ignores_a_scale_that_the_consumer_divides_out(
    greedy: bool, flow: str, task_relevance: str
) -> None:
    settings = {"greedy": greedy, "flow": flow, "task_relevance": task_relevance}
    before = scores(importance_context(seeded_network(), settings=settings))
    rescaled = seeded_network()
    rescale_inner(rescaled, 2.0 ** torch.arange(-4, 4))
    after = scores(importance_context(rescaled, settings=settings))
    torch.testing.assert_close(after[INNER], before[INNER], rtol=1e-5, atol=1e-9)


def test_channel_that_nobody_reads_is_given_up_first() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.conv2.weight[:, 5] = 0
    assert int(scores(importance_context(network))[INNER].argmin()) == 5
    images_NCHW = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dense_NC = network(images_NCHW)
        network.norm1.weight[5], network.norm1.bias[5] = 0, 0
        assert torch.equal(network(images_NCHW), dense_NC)


def test_constant_channel_scores_lowest_and_finite() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.norm1.weight[2] = 0
        network.norm1.bias[2] = 1
    inner_C = scores(importance_context(network))[INNER]
    assert bool(torch.isfinite(inner_C).all())
    assert int(inner_C.argmin()) == 2


def test_one_of_two_identical_channels_goes_early_and_its_twin_stays_on() -> None:
    network = seeded_network()
    with torch.no_grad():
        for values in (network.conv1.weight, network.norm1.weight, network.norm1.bias):
            values[1] = values[2]
        assert network.norm1.running_mean is not None
        assert network.norm1.running_var is not None
        for values in (network.norm1.running_mean, network.norm1.running_var):
            values[1] = values[2]
        network.conv2.weight[:, 1] = network.conv2.weight[:, 2]

    static_C = scores(importance_context(network, settings={"greedy": False}))[INNER]
    greedy_C = scores(importance_context(network, settings={"greedy": True}))[INNER]

    assert set(static_C.argsort()[:2].tolist()) == {1, 2}
    assert int(greedy_C.argmin()) in (1, 2)
    assert float(greedy_C[1:3].max()) > float(greedy_C[[0, 3, 4, 5, 6, 7]].median())


def test_l1_is_the_mean_size_of_the_filter() -> None:
    network = seeded_network()
    expected_C = network.conv1.weight.detach().double().abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(scores(importance_context(network), "l1")[INNER], expected_C)


def test_l1_adds_up_all_layers_that_produce_the_channel() -> None:
    a, b = nn.Conv2d(2, 3, 3), nn.Linear(5, 6)
    network = nn.ModuleDict({"a": a, "b": b})
    uses = (
        ChannelUse(layer="a", role=Role.PRODUCES, positions=each_alone(3)),
        ChannelUse(layer="b", role=Role.PRODUCES, positions=((4,), (0,), (2,))),
    )
    graph = ChannelGraph(
        groups=(ChannelGroup(name="a", num_channels=3, is_inner=False, uses=uses),), untouched=(), taps={}
    )
    base = importance_context(seeded_network())
    context = ImportanceContext(network=network, graph=graph, data=base.data, settings=base.settings, seed=0)
    size_a = a.weight.detach().double().abs().mean(dim=(1, 2, 3))
    size_b = b.weight.detach().double().abs().mean(dim=1)
    torch.testing.assert_close(L1Importance().score(context)["a"], size_a + size_b[[4, 0, 2]])


class Branches(nn.Module):
    """One tensor read twice, then added, then read again: a residual group with two read points."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.classifier = nn.Linear(4, 4)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = torch.relu(self.stem(images_NCHW))
        maps = torch.relu(maps + self.left(maps) + self.norm(self.right(maps)))
        logits_NC: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits_NC


def branches_context(network: nn.Module, consumers: tuple[str, ...]) -> ImportanceContext:
    positions = each_alone(4)
    uses = [
        ChannelUse(layer=layer, role=Role.PRODUCES, positions=positions)
        for layer in ("stem", "left", "right")
    ]
    uses += [ChannelUse(layer=layer, role=Role.CONSUMES, positions=positions) for layer in consumers]
    graph = ChannelGraph(
        groups=(ChannelGroup(name="stem", num_channels=4, is_inner=False, uses=tuple(uses)),),
        untouched=(),
        taps={},
    )
    base = importance_context(seeded_network())
    return ImportanceContext(
        network=network.eval(), graph=graph, data=base.data, settings=base.settings, seed=0
    )


def test_read_points_know_who_reads_the_same_tensor_and_which_norm_follows() -> None:
    reads = find_read_points(branches_context(Branches(), ("classifier", "right", "left")))
    assert [point.layer for point in reads.points] == ["left", "right", "classifier"]
    left, right, classifier = reads.points
    assert left.source == right.source != classifier.source
    assert (left.norm, right.norm, classifier.norm) == (None, "norm", None)
    assert reads.first_layer == "stem"


def test_behind_a_depthwise_convolution_the_pointwise_ones_are_the_readers() -> None:
    network, data = DepthwiseAndFlatten().eval(), class_images()
    graph = find_channel_groups(network, data.input_shape, scope="all")
    context = ImportanceContext(
        network=network, graph=graph, data=data, settings=ImportanceConfig(num_images=8), seed=0
    )
    stem = graph.groups[0]
    assert {use.layer for use in stem.uses if use.role is Role.FOLLOWS} == {"depthwise", "norm"}
    assert [point.layer for point in find_read_points(context).of_group(stem.name)] == ["left", "right"]


def test_residual_groups_are_scored_over_all_their_readers() -> None:
    context = branches_context(Branches(), ("left", "right", "classifier"))
    got = scores(context)["stem"]
    assert got.shape == (4,)
    assert bool((torch.isfinite(got) & (got >= 0)).all())


def stem_context(network: TwoConvolutions, stem_residual: float = 0.01) -> ImportanceContext:
    """The stem's channels 3 to 5 are copies of channels 0 to 2."""
    with torch.no_grad():
        assert network.stem.bias is not None
        network.stem.weight[3:] = network.stem.weight[:3]
        network.stem.bias[3:] = network.stem.bias[:3]
    base = importance_context(network, settings={"stem_residual": stem_residual})
    graph = ChannelGraph(
        groups=(plain_group("stem", 6, "norm1", "conv1"), *base.graph.groups), untouched=(), taps={}
    )
    return ImportanceContext(network=network, graph=graph, data=base.data, settings=base.settings, seed=0)


def test_stem_is_ordered_by_volume_when_nothing_else_produces_its_channels() -> None:
    best = scores(stem_context(seeded_network()))["stem"].argsort(descending=True)[:3]
    assert {channel % 3 for channel in best.tolist()} == {0, 1, 2}


def test_stem_alone_has_a_floor_that_counts_its_independent_receivers() -> None:
    floors = [
        rate_channels(IMPORTANCES["task_inspired"], stem_context(seeded_network(), residual)).floors
        for residual in (0.0, 0.9)
    ]
    assert floors == [{"stem": 3}, {"stem": 1}]
    assert rate_channels(IMPORTANCES["task_inspired"], importance_context(seeded_network())).floors == {}


def test_an_importance_that_knows_scores_alone_is_rated_by_them() -> None:
    context = importance_context(seeded_network())
    rating = rate_channels(IMPORTANCES["l1"], context)
    assert torch.equal(rating.scores[INNER], scores(context, "l1")[INNER])
    assert (rating.floors, rating.profiles) == ({}, {})


class Twice(Branches):
    """Runs one layer two times."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        maps = self.left(self.left(torch.relu(self.stem(images_NCHW))))
        logits_NC: Tensor = self.classifier(self.norm(self.right(maps)).mean(dim=(2, 3)))
        return logits_NC


@pytest.mark.parametrize(
    ("network", "consumers", "message"),
    [
        (Twice(), ("left",), "'left' must run once per image .* several times"),
        (Branches(), ("norm",), "'norm' is a BatchNorm2d"),
        (Branches(), (), "'stem' is not"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    network: nn.Module, consumers: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnsupportedNetworkError, match=message):
        find_read_points(branches_context(network, consumers))


def test_responses_behind_a_flatten_become_maps_again() -> None:
    maps = torch.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    positions_CS = torch.arange(12).reshape(3, 4)
    got = channel_responses(maps.flatten(1), positions_CS)
    assert torch.equal(got[:, :, 0], maps)
    assert channel_responses(torch.zeros(2, 9), torch.arange(9).reshape(3, 3)).shape == (2, 3, 1, 1, 3)


def test_network_comes_back_without_hooks_and_unchanged() -> None:
    network = seeded_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    context = importance_context(network)
    scores(context)
    measure_sensitivities(context, scores(context))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_stream_shows_every_calibration_image_once() -> None:
    class Counter:
        def __init__(self) -> None:
            self.first_images: list[int] = []
            self.num_images = 0

        def observe(self, inputs: Tensor, labels_N: Tensor, first_image: int) -> None:
            assert len(inputs) == len(labels_N)
            self.first_images.append(first_image)
            self.num_images += len(inputs)

    counter = Counter()
    stream_reads(importance_context(seeded_network()), {"conv2": [counter]})
    assert counter.num_images == 96
    assert counter.first_images[0] == 0


def test_calibration_images_come_in_random_order() -> None:
    base = importance_context(seeded_network())
    order = class_images().train.labels_N.argsort()
    data = replace(base.data, train=take(base.data.train, order))
    context = ImportanceContext(
        network=base.network, graph=base.graph, data=data, settings=base.settings, seed=0
    )
    labels_N = calibration_images(context).labels_N
    assert torch.equal(labels_N.bincount(), base.data.train.labels_N.bincount())
    assert all(len(set(part.tolist())) == NUM_CLASSES for part in torch.split(labels_N, 32))


def test_sensitivity_is_highest_where_the_network_breaks() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.conv2.weight[:] = 0
        network.norm2.bias[:] = 1
    context = importance_context(network)
    got = measure_sensitivities(context, {INNER: torch.arange(8.0), OUTER: torch.arange(6.0)})
    assert set(got) == {INNER, OUTER}
    assert all(value > 0 for value in got.values())
    assert got[INNER] <= got[OUTER]


def test_best_half_keeps_the_middle_one_and_breaks_ties_by_index() -> None:
    assert best_half(torch.tensor([0.1, 0.9, 0.5])).tolist() == [0, 1, 1]
    assert best_half(torch.ones(4)).tolist() == [1, 1, 0, 0]
    assert best_half(torch.tensor([2.0])).tolist() == [1]


def test_only_training_images_are_read() -> None:
    class Forbidden:
        labels_N = torch.zeros(1, dtype=torch.int64)

        def __len__(self) -> int:
            raise AssertionError("only training images may be read")

        def read(self, _indices_N: Tensor) -> Tensor:
            raise AssertionError("only training images may be read")

    base = importance_context(seeded_network())
    data = class_images()
    object.__setattr__(data, "validation", Forbidden())
    object.__setattr__(data, "test", Forbidden())
    context = ImportanceContext(
        network=base.network, graph=base.graph, data=data, settings=base.settings, seed=0
    )
    assert torch.equal(scores(context)[INNER], scores(base)[INNER])


@pytest.mark.parametrize(
    "network",
    [
        DepthwiseAndFlatten(),
        build_network(ArchitectureConfig(name="cifar_resnet8", width=0.5), num_classes=4, in_channels=3),
    ],
    ids=["depthwise, concatenation, flatten", "residual groups"],
)
def test_networks_of_all_kinds_are_scored_through_their_own_channel_groups(network: nn.Module) -> None:
    data = class_images()
    graph = find_channel_groups(network.eval(), data.input_shape, scope="all")
    settings = ImportanceConfig(num_images=96, num_positions=300)
    context = ImportanceContext(network=network, graph=graph, data=data, settings=settings, seed=0)
    got = scores(context)
    assert len(graph.groups) >= 4
    for group in graph.groups:
        assert bool((torch.isfinite(got[group.name]) & (got[group.name] >= 0)).all())
        assert len(set(got[group.name].tolist())) == group.num_channels
    assert all(value > 0 for value in measure_sensitivities(context, got).values())
    for name in ("attribution", "tf_idf"):
        for scored, score_C in IMPORTANCES[name].score(context).items():
            assert bool((torch.isfinite(score_C) & (score_C >= 0)).all())
            assert float(score_C.max()) > 0, scored
