"""Losses, training, evaluation and re-estimation of batch normalisation."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.config import DistillationConfig, TrainingConfig
from pruning_core.data import Augmentation, DataSplits, iterate_batches
from pruning_core.errors import InvalidSettingsError, NonFiniteLossError
from pruning_core.training import (
    Teacher,
    classification_loss,
    distillation_loss,
    eval_mode,
    evaluate,
    reestimate_batch_norm,
    train_classifier,
)
from tests.synthetic import make_data, make_network, same_weights


def settings(**fields: Any) -> TrainingConfig:
    return TrainingConfig(**({"epochs": 2, "batch_size": 32} | fields))


def logits(seed: int) -> Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS_N = torch.tensor([0, 1, 2, 3, 4, 0])


def test_distillation_is_the_scaled_divergence_from_teacher_to_student() -> None:
    student_NC, teacher_NC, temperature = logits(0), logits(1), 3.0
    p_NC = (teacher_NC / temperature).softmax(1)
    q_NC = (student_NC / temperature).softmax(1)
    expected = temperature**2 * (p_NC * (p_NC / q_NC).log()).sum(1).mean()
    torch.testing.assert_close(distillation_loss(student_NC, teacher_NC, temperature), expected)
    assert float(distillation_loss(teacher_NC, teacher_NC, temperature)) == pytest.approx(0)


def test_the_loss_without_a_teacher_is_smoothed_cross_entropy() -> None:
    smoothed_NC = F.one_hot(LABELS_N, 5).double() * 0.9 + 0.1 / 5
    expected = -(smoothed_NC * logits(0).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(
        classification_loss(logits(0), LABELS_N, settings(label_smoothing=0.1)), expected
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_mixes_labels_and_teacher_by_weight(weight: float) -> None:
    mixed = settings(distillation=DistillationConfig(weight=weight, temperature=2.0))
    loss = classification_loss(logits(0), LABELS_N, mixed, teacher_logits_NC=logits(1))
    labels_part = F.cross_entropy(logits(0), LABELS_N)
    teacher_part = distillation_loss(logits(0), logits(1), 2.0)
    torch.testing.assert_close(loss, (1 - weight) * labels_part + weight * teacher_part)


def test_training_learns_and_tells_of_each_epoch(tiny_data: DataSplits, tiny_network: nn.Module) -> None:
    reports: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        reports.append((done, total))

    history = train_classifier(tiny_network, tiny_data, settings(epochs=6), seed=0, report=report)
    assert evaluate(tiny_network, tiny_data.validation, tiny_data.normalisation).accuracy > 0.9
    assert history.num_steps == 24
    assert history.losses[-1] < history.losses[0] / 4
    assert reports == [(4 * epoch, 24) for epoch in range(1, 7)]


def with_dropout() -> nn.Module:
    network = make_network()
    network.linear = nn.Sequential(nn.Dropout(0.5), nn.Linear(32, 4))
    return network


@pytest.mark.parametrize("augmentation", list(Augmentation))
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    tiny_data: DataSplits, augmentation: Augmentation
) -> None:
    data = replace(tiny_data, augmentation=augmentation)
    start = with_dropout()
    first, again, other = (copy.deepcopy(start) for _ in range(3))
    for network, seed in ((first, 5), (again, 5), (other, 6)):
        torch.rand(3)  # what others draw in between does not matter
        train_classifier(network, data, settings(), seed=seed)
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_training_leaves_the_global_random_state_alone(tiny_data: DataSplits) -> None:
    network = with_dropout()
    before = torch.random.get_rng_state()
    train_classifier(network, tiny_data, settings(epochs=1), seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 3},
        {"batch_size": 16},
        {"learning_rate": 0.05},
        {"momentum": 0.0},
        {"weight_decay": 0.1},
        {"schedule": "constant"},
        {"warmup_epochs": 0.0},
        {"label_smoothing": 0.1},
        {"distillation": DistillationConfig(weight=0.5)},
    ],
)
def test_every_setting_has_an_effect(tiny_data: DataSplits, fields: dict[str, Any]) -> None:
    usual, changed, teacher = make_network(), make_network(), make_network(seed=9)
    train_classifier(usual, tiny_data, settings(), seed=0, teacher=Teacher(network=teacher))
    train_classifier(changed, tiny_data, settings(**fields), seed=0, teacher=Teacher(network=teacher))
    assert not same_weights(usual, changed)


def test_the_temperature_has_an_effect(tiny_data: DataSplits) -> None:
    networks = [make_network(), make_network()]
    for network, temperature in zip(networks, (1.0, 4.0), strict=True):
        distilling = settings(distillation=DistillationConfig(weight=0.5, temperature=temperature))
        train_classifier(
            network, tiny_data, distilling, seed=0, teacher=Teacher(network=make_network(seed=9))
        )
    assert not same_weights(*networks)


def test_weight_decay_shrinks_convolutions_but_not_normalisation_and_biases(tiny_data: DataSplits) -> None:
    for name, parameter in make_network().named_parameters():
        decayed, plain = make_network(), make_network()
        for network in (decayed, plain):
            for other_name, other in network.named_parameters():
                other.requires_grad_(other_name == name)
        one_step = {"epochs": 1, "batch_size": 128, "warmup_epochs": 0.0, "momentum": 0.0}
        train_classifier(plain, tiny_data, settings(**one_step, weight_decay=0.0), seed=0)
        train_classifier(decayed, tiny_data, settings(**one_step, weight_decay=0.5), seed=0)
        difference = plain.get_parameter(name) - decayed.get_parameter(name)
        expected = 0.1 * 0.5 * parameter if parameter.ndim > 1 else torch.zeros_like(parameter)
        torch.testing.assert_close(difference, expected, rtol=1e-3, atol=1e-6)


class Spy(nn.Module):
    """Notes every batch it sees, and passes it on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.seen.append(images_NCHW.detach().clone())
        self.modes.append(self.training)
        logits_NC: Tensor = self.network(images_NCHW)
        return logits_NC


def test_the_teacher_sees_the_same_augmented_batches_and_is_left_as_it_was(tiny_data: DataSplits) -> None:
    data = replace(tiny_data, augmentation=Augmentation.CROP_FLIP)
    student, teacher = Spy(make_network()), Spy(make_network(seed=9))
    before = copy.deepcopy(teacher)
    train_classifier(
        student,
        data,
        settings(distillation=DistillationConfig(weight=0.5)),
        seed=0,
        teacher=Teacher(network=teacher),
    )
    assert len(student.seen) == 8
    assert all(torch.equal(a, b) for a, b in zip(student.seen, teacher.seen, strict=True))
    assert same_weights(teacher.network, before.network)
    assert not any(teacher.modes)
    assert teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_that_has_no_weight_is_not_asked(tiny_data: DataSplits) -> None:
    teacher = Spy(make_network(seed=9))
    train_classifier(make_network(), tiny_data, settings(epochs=1), seed=0, teacher=Teacher(network=teacher))
    assert teacher.seen == []


def test_distillation_without_a_teacher_is_refused(tiny_data: DataSplits, tiny_network: nn.Module) -> None:
    with pytest.raises(
        InvalidSettingsError, match=r"distillation\.weight and .* must be 0 .* but got 0\.5 and 0"
    ):
        train_classifier(
            tiny_network, tiny_data, settings(distillation=DistillationConfig(weight=0.5)), seed=0
        )


def test_batches_of_one_image_are_refused_with_batch_normalisation_only(tiny_data: DataSplits) -> None:
    single = settings(epochs=1, batch_size=1)
    with pytest.raises(InvalidSettingsError, match=r"batch_size must be at least 2 .* but got 1"):
        train_classifier(make_network(), tiny_data, single, seed=0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    assert (
        train_classifier(
            plain, tiny_data, settings(epochs=1, batch_size=1, learning_rate=1e-3), seed=0
        ).num_steps
        == 128
    )


@pytest.mark.parametrize(("batch_size", "sizes"), [(127, [127]), (128, [128]), (200, [128]), (50, [50, 50])])
def test_a_batch_that_is_not_full_is_left_out_unless_it_is_the_only_one(
    tiny_data: DataSplits, batch_size: int, sizes: list[int]
) -> None:
    network = Spy(make_network())
    history = train_classifier(network, tiny_data, settings(epochs=1, batch_size=batch_size), seed=0)
    assert [len(images_NCHW) for images_NCHW in network.seen] == sizes
    assert history.num_steps == len(sizes)


class Exploding(nn.Module):
    """Answers NaN from the third batch on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_calls = 0
        self.last_finite: dict[str, Tensor] = {}

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.num_calls += 1
        logits_NC: Tensor = self.network(images_NCHW)
        if self.num_calls < 3:
            return logits_NC
        self.last_finite = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        return logits_NC * math.nan


def test_a_loss_that_is_not_finite_stops_training_before_the_weights_change(tiny_data: DataSplits) -> None:
    network = Exploding(make_network())
    with pytest.raises(
        NonFiniteLossError, match="classifier training must stay finite, but became nan at step 2"
    ):
        train_classifier(network, tiny_data, settings(), seed=0)
    assert network.num_calls == 3
    assert all(torch.equal(p, network.last_finite[name]) for name, p in network.network.named_parameters())


def test_evaluation_counts_like_a_loop_over_single_images(
    tiny_data: DataSplits, tiny_network: nn.Module
) -> None:
    tiny_network.eval()
    num_correct, losses = 0, []
    with torch.no_grad():
        for batch in iterate_batches(tiny_data.validation, tiny_data.normalisation, batch_size=1):
            logits_1C = tiny_network(batch.images_NCHW)
            num_correct += int(logits_1C.argmax() == batch.labels_N)
            losses.append(F.cross_entropy(logits_1C, batch.labels_N).item())
    score = evaluate(tiny_network, tiny_data.validation, tiny_data.normalisation, batch_size=16)
    assert (score.num_images, score.num_correct) == (40, num_correct)
    assert score.accuracy == num_correct / 40
    assert score.loss == pytest.approx(sum(losses) / 40, rel=1e-4)


def test_evaluation_leaves_the_network_as_it_was(tiny_data: DataSplits, tiny_network: nn.Module) -> None:
    tiny_network.train()
    tiny_network.get_submodule("layer1").eval()
    modes = [module.training for module in tiny_network.modules()]
    before = copy.deepcopy(tiny_network)
    evaluate(tiny_network, tiny_data.validation, tiny_data.normalisation)
    assert [module.training for module in tiny_network.modules()] == modes
    assert same_weights(tiny_network, before)


def fail_in_eval_mode(network: nn.Module) -> None:
    with eval_mode(network):
        assert not any(module.training for module in network.modules())
        raise RuntimeError("stop")


def test_modes_are_restored_after_an_error(tiny_network: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        fail_in_eval_mode(tiny_network)
    assert all(module.training for module in tiny_network.modules())


def first_norm_inputs(data: DataSplits) -> tuple[nn.Module, list[Tensor]]:
    """A network of one normalisation, and the images of each batch that re-estimation shows it."""
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.9), nn.Flatten())
    spy = Spy(network)
    reestimate_batch_norm(spy, data, num_images=100, batch_size=32, seed=4)
    return network, spy.seen


def test_statistics_are_the_averages_over_full_batches(tiny_data: DataSplits) -> None:
    network, batches = first_norm_inputs(replace(tiny_data, augmentation=Augmentation.CROP_FLIP))
    norm = network.get_submodule("0")
    assert isinstance(norm, nn.BatchNorm2d)
    assert [len(images_NCHW) for images_NCHW in batches] == [32, 32, 32]
    means_BC = torch.stack([images_NCHW.mean((0, 2, 3)) for images_NCHW in batches])
    variances_BC = torch.stack([images_NCHW.var((0, 2, 3)) for images_NCHW in batches])
    torch.testing.assert_close(norm.running_mean, means_BC.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variances_BC.mean(0), rtol=1e-4, atol=1e-5)


def test_re_estimation_shows_plain_training_images_of_mixed_classes(tiny_data: DataSplits) -> None:
    _, batches = first_norm_inputs(replace(tiny_data, augmentation=Augmentation.CROP_FLIP))
    train_NCHW = tiny_data.normalisation.apply(tiny_data.train.read(torch.arange(128)))
    for image_CHW in batches[0]:
        assert any(torch.equal(image_CHW, candidate_CHW) for candidate_CHW in train_NCHW)


def test_re_estimation_changes_nothing_but_statistics(tiny_data: DataSplits, tiny_network: nn.Module) -> None:
    norm = tiny_network.get_submodule("bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.momentum = 0.25
    tiny_network.get_submodule("layer2").eval()
    modes = [module.training for module in tiny_network.modules()]
    before = copy.deepcopy(tiny_network)
    reestimate_batch_norm(tiny_network, tiny_data, batch_size=32)
    assert [module.training for module in tiny_network.modules()] == modes
    assert norm.momentum == 0.25
    assert tiny_network.get_submodule("layer1.0.bn1").momentum == 0.1
    after = tiny_network.state_dict()
    changed = {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, after[name])}
    assert changed == {
        name for name in after if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


def test_re_estimation_forgets_the_old_statistics_and_depends_on_the_seed_only(tiny_data: DataSplits) -> None:
    first, spoilt = make_network(), make_network()
    for name, buffer in spoilt.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.fill_(1e6)
    for network in (first, spoilt):
        reestimate_batch_norm(network, tiny_data, batch_size=32)
    assert same_weights(first, spoilt)


def test_a_network_without_batch_normalisation_is_left_alone(tiny_data: DataSplits) -> None:
    spy = Spy(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)))
    reestimate_batch_norm(spy, tiny_data)
    assert spy.seen == []


def test_fewer_training_images_than_a_batch_are_one_batch() -> None:
    data = make_data(num_train=20, num_validation=8, num_test=8)
    spy = Spy(make_network())
    reestimate_batch_norm(spy, data)
    assert [len(images_NCHW) for images_NCHW in spy.seen] == [20]
