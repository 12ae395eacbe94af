"""What every task relevance must do; a new entry of ``TASK_RELEVANCES`` is tested by being listed.

Oracles 1 and 3 of the task-inspired criterion: planted channels, and streaming statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
import torch
from torch import Tensor

from pruning_core.config import ImportanceConfig
from pruning_core.importance import GRADIENT_RELEVANCES, TASK_RELEVANCES
from pruning_core.importance.class_targets import TaskLabels
from pruning_core.importance.task_relevance import TaskRelevance

NUM_CLASSES = 4
every_relevance = pytest.mark.parametrize("name", TASK_RELEVANCES)


def labels(num_images: int, *, seed: int = 0) -> Tensor:
    """Balanced classes in random order."""
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(seed))
    return (torch.arange(num_images) % NUM_CLASSES)[order]


def noise(num_images: int, num_channels: int, num_cells: int, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_images, num_channels, num_cells, generator=generator, dtype=torch.float64)


def mixed_responses(labels_N: Tensor) -> Tensor:
    """From class detectors with more and more noise to noise alone."""
    weight_C = torch.tensor([1.0, 0.6, 0.3, 0.0])
    return (labels_N == 2).double()[:, None, None] * weight_C[:, None] + 0.5 * noise(len(labels_N), 4, 4)


def start(name: str, labels_N: Tensor) -> TaskRelevance:
    outputs_NK = torch.eye(NUM_CLASSES)[labels_N]  # a network that is always right
    task = TaskLabels(labels_N=labels_N, num_classes=NUM_CLASSES, seed=0, outputs_NK=outputs_NK)
    return TASK_RELEVANCES[name](task)


def see(
    statistics: TaskRelevance, responses_NCF: Tensor, labels_N: Tensor, parts: Sequence[range]
) -> TaskRelevance:
    for part in parts:
        statistics.update(responses_NCF[part.start : part.stop], labels_N[part.start : part.stop], part.start)
    return statistics


def split(num_images: int, batch_size: int) -> list[range]:
    return [range(first, min(first + batch_size, num_images)) for first in range(0, num_images, batch_size)]


def relevance(name: str, responses_NCF: Tensor, labels_N: Tensor) -> Tensor:
    return see(start(name, labels_N), responses_NCF, labels_N, [range(len(labels_N))]).relevance()


def test_configuration_offers_every_relevance() -> None:
    offered = set(get_args(ImportanceConfig.model_fields["task_relevance"].annotation))
    assert offered == set(TASK_RELEVANCES) | set(GRADIENT_RELEVANCES)


@every_relevance
def test_planted_channels_come_in_order_and_a_constant_one_is_zero(name: str) -> None:
    labels_N = labels(240)
    noise_NCF = noise(240, 5, 4)
    detector_NF = (labels_N == 2).double()[:, None] + 0.2 * noise_NCF[:, 0]
    responses_NCF = torch.stack(
        [detector_NF, noise_NCF[:, 1], torch.full((240, 4), 3.7), detector_NF, -detector_NF], dim=1
    ).double()

    got_C = relevance(name, responses_NCF, labels_N)

    assert got_C.dtype == torch.float64
    detector, background, constant, twin, flipped = got_C.tolist()
    assert 0 <= background < detector / 8
    assert detector <= 1
    assert constant == 0
    assert twin == detector
    assert flipped == pytest.approx(detector, rel=1e-6)


@every_relevance
def test_only_constant_responses_give_zeros_and_no_nan(name: str) -> None:
    labels_N = labels(60)
    assert relevance(name, torch.full((60, 3, 4), 1e3), labels_N).tolist() == [0, 0, 0]
    assert relevance(name, torch.zeros(60, 3, 4), labels_N).tolist() == [0, 0, 0]


@every_relevance
def test_one_class_alone_tells_nothing(name: str) -> None:
    labels_N = torch.full((60,), 2)
    assert relevance(name, noise(60, 3, 4), labels_N).tolist() == [0, 0, 0]


@every_relevance
def test_shuffled_labels_leave_next_to_nothing(name: str) -> None:
    got_C = relevance(name, noise(1024, 6, 4), labels(1024))
    assert float(got_C.mean()) < 4 * NUM_CLASSES / 1024


@every_relevance
def test_relevance_ignores_scale_shift_order_of_images_and_names_of_classes(name: str) -> None:
    labels_N = labels(200)
    responses_NCF = mixed_responses(labels_N)
    expected = relevance(name, responses_NCF, labels_N)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    for other in (
        relevance(name, 8 * responses_NCF - 2, labels_N),
        relevance(name, responses_NCF[order], labels_N[order]),
        relevance(name, responses_NCF, (labels_N + 3) % NUM_CLASSES),
    ):
        torch.testing.assert_close(other, expected, rtol=1e-9, atol=1e-12)


@every_relevance
@pytest.mark.parametrize("batch_size", [1, 37, 256, 599])
def test_statistics_do_not_depend_on_the_batches(name: str, batch_size: int) -> None:
    labels_N = labels(600)
    responses_NCF = mixed_responses(labels_N)
    streamed = see(start(name, labels_N), responses_NCF, labels_N, split(600, batch_size))
    torch.testing.assert_close(
        streamed.relevance(), relevance(name, responses_NCF, labels_N), rtol=1e-9, atol=1e-12
    )


@every_relevance
def test_statistics_do_not_depend_on_the_order_of_the_batches(name: str) -> None:
    labels_N = labels(600)
    responses_NCF = mixed_responses(labels_N)
    parts = split(600, 50)
    backwards = see(start(name, labels_N), responses_NCF, labels_N, parts[::-1])
    torch.testing.assert_close(
        backwards.relevance(), relevance(name, responses_NCF, labels_N), rtol=1e-9, atol=1e-12
    )


@every_relevance
def test_merged_parts_equal_one_pass(name: str) -> None:
    labels_N = labels(600)
    responses_NCF = mixed_responses(labels_N)
    parts = split(600, 50)
    first = see(start(name, labels_N), responses_NCF, labels_N, parts[1::2])
    second = see(start(name, labels_N), responses_NCF, labels_N, parts[::2])
    first.merge(second)
    first.merge(start(name, labels_N))
    torch.testing.assert_close(
        first.relevance(), relevance(name, responses_NCF, labels_N), rtol=1e-9, atol=1e-12
    )


@every_relevance
def test_asking_does_not_change_the_answer(name: str) -> None:
    labels_N = labels(300)
    responses_NCF = mixed_responses(labels_N)
    statistics = see(start(name, labels_N), responses_NCF, labels_N, [range(150)])
    assert torch.equal(statistics.relevance(), statistics.relevance())
    see(statistics, responses_NCF, labels_N, [range(150, 300)])
    torch.testing.assert_close(
        statistics.relevance(), relevance(name, responses_NCF, labels_N), rtol=1e-9, atol=1e-12
    )


@every_relevance
def test_no_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"at least \d images? .*must be seen"):
        start(name, labels(60)).relevance()
