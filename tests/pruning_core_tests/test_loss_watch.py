"""Losses that are looked at at once, or some steps late."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pruning_core.config import TrainingConfig
from pruning_core.data import DataSplits
from pruning_core.errors import NonFiniteLossError
from pruning_core.training import LossWatch, loss_watch, refuse_non_finite, train_classifier
from pruning_core.training.loss_watch import steps_between_reads
from tests.synthetic import make_network

LOSSES = (2.5, 0.1, 1 / 3, 7.0, 0.2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_refused_by_stage_and_step(value: float) -> None:
    refuse_non_finite(3.0, stage="steering", step=4)
    with pytest.raises(
        NonFiniteLossError, match=f"the loss of steering must stay finite, but became {value} at step 4"
    ):
        refuse_non_finite(value, stage="steering", step=4)


@pytest.mark.parametrize("interval", [1, 2, 5, 32])
def test_the_sum_is_that_of_the_numbers_however_many_are_read_together(interval: int) -> None:
    watch = LossWatch("gates", "cpu", interval)
    losses = [torch.tensor(value) for value in LOSSES]
    for step, loss in enumerate(losses):
        watch.see(loss, step)
    assert watch.take_sum() == sum(loss.item() for loss in losses)
    assert watch.take_sum() == 0


def test_every_loss_is_looked_at_once_on_the_cpu_and_some_together_elsewhere() -> None:
    assert steps_between_reads("cpu") == 1
    assert steps_between_reads("cuda:0") > 1
    with pytest.raises(NonFiniteLossError, match="at step 0"):
        LossWatch("gates", "cpu").see(torch.tensor(math.nan), 0)


def test_a_late_look_names_the_first_step_that_was_not_finite_and_never_comes_too_late() -> None:
    late = LossWatch("gates", "cpu", 3)
    late.see(torch.tensor(1.0), 0)
    late.see(torch.tensor(math.inf), 1)
    with pytest.raises(NonFiniteLossError, match="became inf at step 1"):
        late.see(torch.tensor(math.nan), 2)
    unread = LossWatch("gates", "cpu", 3)
    unread.see(torch.tensor(math.nan), 0)
    with pytest.raises(NonFiniteLossError, match="became nan at step 0"):
        unread.take_sum()


def test_a_watched_loss_keeps_no_graph() -> None:
    watch = LossWatch("gates", "cpu", 2)
    weight = torch.ones((), requires_grad=True)
    watch.see(2 * weight, 0)
    assert not any(loss.requires_grad for _, loss in watch._unread)


def test_training_is_the_same_when_losses_are_looked_at_late(
    tiny_data: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainingConfig(epochs=2, batch_size=8, learning_rate=0.05)
    first, second = make_network(), make_network()
    at_once = train_classifier(first, tiny_data, settings, seed=0)
    monkeypatch.setattr(loss_watch, "steps_between_reads", lambda _device: 3)
    late = train_classifier(second, tiny_data, settings, seed=0)
    assert late == at_once
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_training_that_is_looked_at_late_still_ends_with_the_error(
    tiny_data: DataSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_watch, "steps_between_reads", lambda _device: 10_000)
    network = make_network()
    with torch.no_grad():
        next(network.parameters()).fill_(math.nan)
    settings = TrainingConfig(epochs=1, batch_size=8, learning_rate=0.05)
    with pytest.raises(NonFiniteLossError, match="became nan at step 0"):
        train_classifier(nn.Sequential(network), tiny_data, settings, seed=0)
