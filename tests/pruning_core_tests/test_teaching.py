"""Learning from the maps of the dense network while a slim one is fine-tuned."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from pruning_core.channels import find_channel_groups, hard_gates, remove_channels
from pruning_core.config import DistillationConfig, TrainingConfig
from pruning_core.data import Batch, DataSplits, iterate_batches
from pruning_core.stages.dense_teacher import dense_teacher, feature_taps
from pruning_core.training import (
    MapReader,
    Teacher,
    eval_mode,
    feature_distance,
    reestimate_batch_norm,
    train_classifier,
)
from pruning_core.training.teaching import taught_by
from tests.pruning_core_tests.channel_networks import random_selection
from tests.synthetic import make_network, same_weights

LAYERS = ("layer1", "layer3")
FEATURES = DistillationConfig(features=2.0)


def settings(distillation: DistillationConfig, epochs: int = 4) -> TrainingConfig:
    return TrainingConfig(epochs=epochs, batch_size=32, distillation=distillation)


def first_batch(data: DataSplits) -> Batch:
    return next(iterate_batches(data.train, data.normalisation, batch_size=16))


def loss_of(student: nn.Module, teacher: Teacher, distillation: DistillationConfig, batch: Batch) -> Tensor:
    with taught_by(
        teacher,
        student,
        student,
        settings(distillation),
        device="cpu",
        precision="float32",
        compiler=None,
    ) as loss:
        return loss(batch)


def maps_of(network: nn.Module, batch: Batch) -> tuple[Tensor, ...]:
    with MapReader(network, LAYERS) as reader:
        network(batch.images_NCHW)
        return reader.maps()


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_loss_adds_the_weighted_distance_of_the_maps(tiny_data: DataSplits, weight: float) -> None:
    batch = first_batch(tiny_data)
    student, teacher = make_network().eval(), make_network(seed=1).eval()
    taught = Teacher(network=teacher, layers=LAYERS)
    without = loss_of(student, taught, DistillationConfig(weight=weight), batch)
    with_maps = loss_of(student, taught, DistillationConfig(weight=weight, features=2.0), batch)
    expected = 2 * feature_distance(maps_of(student, batch), maps_of(teacher, batch))
    torch.testing.assert_close(with_maps - without, expected)
    assert expected > 0


def test_a_network_that_sees_what_its_teacher_sees_has_nothing_to_add(tiny_data: DataSplits) -> None:
    batch, network = first_batch(tiny_data), make_network().eval()
    taught = Teacher(network=make_network(), layers=LAYERS)
    torch.testing.assert_close(
        loss_of(network, taught, FEATURES, batch), loss_of(network, taught, DistillationConfig(), batch)
    )


def test_the_distance_is_a_share_of_the_teachers_energy() -> None:
    wanted = (torch.tensor([3.0, 4.0]), torch.tensor([2.0]))
    came = (torch.tensor([3.0, 0.0]), torch.tensor([1.0]))
    assert feature_distance(came, wanted).item() == pytest.approx((16 / 25 + 1 / 4) / 2)
    assert feature_distance(wanted, wanted).item() == 0
    assert torch.isfinite(feature_distance(came, tuple(map(torch.zeros_like, came))))


def test_training_with_features_ends_nearer_to_the_teachers_maps(tiny_data: DataSplits) -> None:
    batch, teacher = first_batch(tiny_data), make_network(seed=1).eval()
    distance = {}
    for name, distillation in {"with": FEATURES, "without": DistillationConfig()}.items():
        student = make_network()
        taught = Teacher(network=teacher, layers=LAYERS)
        train_classifier(student, tiny_data, settings(distillation), seed=0, teacher=taught)
        with eval_mode(student), torch.no_grad():
            distance[name] = feature_distance(maps_of(student, batch), maps_of(teacher, batch)).item()
    assert distance["with"] < 0.8 * distance["without"]


def test_maps_are_not_read_where_they_do_not_count(tiny_data: DataSplits) -> None:
    teacher = Teacher(network=make_network(seed=1), layers=("no.such.module",))
    student = make_network()
    train_classifier(
        student, tiny_data, settings(DistillationConfig(weight=0.5), epochs=1), seed=0, teacher=teacher
    )
    assert not same_weights(student, make_network())


def test_no_hook_stays_on_either_network(tiny_data: DataSplits) -> None:
    student, teacher = make_network(), make_network(seed=1)
    taught = Teacher(network=teacher, layers=LAYERS)
    train_classifier(student, tiny_data, settings(FEATURES, epochs=1), seed=0, teacher=taught)
    for network in (student, teacher):
        assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("scope", ["inner", "all"])
def test_a_slim_network_is_compared_on_the_channels_it_kept(
    scope: Literal["inner", "all"], tiny_data: DataSplits
) -> None:
    dense, shape, batch = make_network().eval(), tiny_data.input_shape, first_batch(tiny_data)
    taps = feature_taps(dense, shape, FEATURES)
    graph = find_channel_groups(dense, shape, scope=scope, taps=[tap.layer for tap in taps])
    selection = random_selection(graph, seed=0, share=0.5)
    slim = remove_channels(dense, graph, selection)
    reestimate_batch_norm(slim, tiny_data, device="cpu", seed=0)
    teacher = dense_teacher(dense, taps, graph, selection)
    assert teacher.layers == tuple(tap.layer for tap in taps)
    with MapReader(dense, teacher.layers) as dense_reader, MapReader(slim, teacher.layers) as slim_reader:
        dense(batch.images_NCHW)
        slim(batch.images_NCHW)
        pairs = list(zip(teacher.layers, dense_reader.maps(), slim_reader.maps(), strict=True))
    gates = hard_gates(graph, selection)
    for layer, dense_NCHW, slim_NCHW in pairs:
        seen_NCHW = teacher.student_channels(layer, dense_NCHW)
        assert seen_NCHW.shape == slim_NCHW.shape
        ((group, positions),) = graph.taps[layer] or ((None, range(dense_NCHW.shape[1])),)
        kept = [at for channel, at in enumerate(positions) if group is None or gates[group][channel] == 1]
        assert torch.equal(seen_NCHW, dense_NCHW[:, kept])
    assert any(len(selection.kept[group.name]) < group.num_channels for group in graph.groups)


def test_a_network_without_maps_is_taught_by_its_outputs_alone(tiny_data: DataSplits) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    assert feature_taps(flat, tiny_data.input_shape, FEATURES) == ()
    assert feature_taps(make_network(), tiny_data.input_shape, DistillationConfig(weight=1.0)) == ()
