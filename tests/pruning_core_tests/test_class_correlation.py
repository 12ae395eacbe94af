"""Class correlation: identities, and the targets it correlates with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.importance.class_correlation import ClassCorrelation
from pruning_core.importance.class_targets import MANY_CLASSES, TaskLabels
from pruning_core.importance.task_relevance import average_normalised, pool_to_grid


def targets(labels_N: Tensor, num_classes: int) -> Tensor:
    return TaskLabels(labels_N=labels_N, num_classes=num_classes, seed=0).targets()


def relevance(responses_NCF: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    statistics = ClassCorrelation(targets(labels_N, num_classes))
    statistics.update(responses_NCF, labels_N, 0)
    return statistics.relevance()


def balanced_labels(num_images: int, num_classes: int) -> Tensor:
    return torch.arange(num_images) % num_classes


def random_responses(num_images: int, num_channels: int, num_cells: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_images, num_channels, num_cells, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("num_classes", [2, 5, 10])
def test_one_dimensional_response_gives_eta_squared_over_root_of_classes_minus_one(num_classes: int) -> None:
    labels_N = balanced_labels(600, num_classes)
    response_N = random_responses(600, 1, 1).flatten() + 0.3 * (labels_N == 1)
    total = (response_N - response_N.mean()).square().sum()
    means = torch.stack([response_N[labels_N == label].mean() for label in range(num_classes)])
    between = 600 / num_classes * (means - response_N.mean()).square().sum()

    got = relevance(response_N[:, None, None], labels_N, num_classes)

    assert float(got) == pytest.approx(float(between / total) / (num_classes - 1) ** 0.5, abs=1e-12)


def test_the_class_itself_has_relevance_one() -> None:
    labels_N = torch.tensor([0, 0, 1, 2, 2, 2, 1, 0, 2])
    one_hot_N1K = torch.eye(3, dtype=torch.float64)[labels_N][:, None, :]
    assert float(relevance(one_hot_N1K, labels_N, 3)) == pytest.approx(1, abs=1e-12)


def test_streaming_agrees_with_the_textbook_formula() -> None:
    labels_N = balanced_labels(60, 3)
    m_NF = random_responses(60, 1, 4)[:, 0]
    y_NK = torch.eye(3, dtype=torch.float64)[labels_N]
    m_NF, y_NK = m_NF - m_NF.mean(dim=0), y_NK - y_NK.mean(dim=0)
    norm = torch.linalg.matrix_norm
    expected = float(norm(m_NF.T @ y_NK) ** 2 / (norm(m_NF.T @ m_NF) * norm(y_NK.T @ y_NK)))
    assert float(relevance(m_NF[:, None], labels_N, 3)) == pytest.approx(expected, abs=1e-12)


def test_outputs_of_the_dense_network_can_be_the_task_and_a_network_that_is_right_has_that_of_the_labels() -> (
    None
):
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.arange(60) % 3
    responses_NCF = torch.rand(60, 4, 2, generator=generator, dtype=torch.float64)
    responses_NCF[:, 0] += labels_N[:, None]
    outputs_NK = torch.rand(60, 3, generator=generator, dtype=torch.float64)
    right_NK = 7 * torch.eye(3, dtype=torch.float64)[labels_N] - 2

    def relevance(outputs_NK: Tensor | None) -> Tensor:
        task = TaskLabels(labels_N=labels_N, num_classes=3, seed=0, outputs_NK=outputs_NK)
        by_outputs = outputs_NK is not None
        statistics = ClassCorrelation.of_outputs(task) if by_outputs else ClassCorrelation.of_task(task)
        for first in (40, 0, 20):
            statistics.update(responses_NCF[first : first + 20], labels_N[first : first + 20], first)
        return statistics.relevance()

    torch.testing.assert_close(relevance(right_NK), relevance(None))
    centred, outputs = responses_NCF - responses_NCF.mean(dim=0), outputs_NK - outputs_NK.mean(dim=0)
    cross_C = torch.einsum("ncf,nk->cfk", centred, outputs).square().sum(dim=(1, 2))
    own_C = torch.linalg.matrix_norm(torch.einsum("ncf,ncg->cfg", centred, centred))
    expected_C = cross_C / (own_C * torch.linalg.matrix_norm(outputs.T @ outputs))
    torch.testing.assert_close(relevance(outputs_NK), expected_C)


def test_shuffled_labels_leave_next_to_nothing() -> None:
    labels_N = balanced_labels(4000, 10)
    shuffled_N = labels_N[torch.randperm(4000, generator=torch.Generator().manual_seed(2))]
    got = relevance(random_responses(4000, 20, 1), shuffled_N, 10)
    assert float(got.mean()) < 3 * 10 / 4000


@pytest.mark.parametrize("num_classes", [MANY_CLASSES, MANY_CLASSES + 40])
def test_many_classes_are_projected_and_still_told_apart(num_classes: int) -> None:
    labels_N = balanced_labels(4 * num_classes, num_classes)
    targets_KD = targets(labels_N, num_classes)
    assert targets_KD.shape == (num_classes, 64)
    assert torch.equal(targets_KD, targets(labels_N, num_classes))
    detector_N = (labels_N < num_classes // 2).double()
    noise_N = random_responses(len(labels_N), 1, 1).flatten()

    detector, noise = relevance(torch.stack([detector_N, noise_N], dim=1)[..., None], labels_N, num_classes)

    assert detector > 2 * noise


def test_fewer_classes_keep_one_hot_targets() -> None:
    labels_N = balanced_labels(2 * (MANY_CLASSES - 1), MANY_CLASSES - 1)
    assert torch.equal(targets(labels_N, MANY_CLASSES - 1), torch.eye(MANY_CLASSES - 1, dtype=torch.float64))


def test_projected_targets_keep_the_covariance_with_a_response() -> None:
    num_classes = 400
    labels_N = balanced_labels(4 * num_classes, num_classes)
    response_N = (labels_N < 100).double() - 0.25
    one_hot_NK = torch.eye(num_classes, dtype=torch.float64)[labels_N]
    exact = float((response_N @ one_hot_NK).square().sum())
    projected = float((response_N @ targets(labels_N, num_classes)[labels_N]).square().sum())
    assert projected == pytest.approx(exact, rel=3 * (2 / 64) ** 0.5)


def test_classes_with_one_image_share_a_target() -> None:
    targets_KD = targets(torch.tensor([0, 0, 1, 2, 3, 3]), 4)
    assert torch.equal(targets_KD[1], targets_KD[2])
    assert not torch.equal(targets_KD[0], targets_KD[3])


def test_grid_is_never_finer_than_the_map() -> None:
    maps = random_responses(2, 3 * 1, 36).reshape(2, 3, 1, 6, 6)
    assert pool_to_grid(maps, 4).shape == (2, 3, 16)
    assert torch.equal(pool_to_grid(maps, 8), maps.flatten(2))
    torch.testing.assert_close(pool_to_grid(maps, 1)[:, :, 0], maps.mean(dim=(2, 3, 4)))


def test_places_count_equally_whatever_their_scale() -> None:
    first, second = torch.tensor([1.0, 3.0]), torch.tensor([200.0, 0.0])
    torch.testing.assert_close(average_normalised([first, second]), torch.tensor([0.625, 0.375]))
    assert torch.equal(average_normalised([first]), first)
