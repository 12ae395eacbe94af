"""Class correlation: identities, invariances, streaming."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.importance.class_correlation import (
    MAX_CLASSES,
    ClassCorrelation,
    average_normalised,
    class_targets,
    pool_to_grid,
)


def relevance(responses_NCF: Tensor, labels_N: Tensor, num_classes: int, *, batch: int = 1000) -> Tensor:
    statistics = ClassCorrelation(class_targets(labels_N, num_classes, seed=0))
    for first in range(0, len(labels_N), batch):
        statistics.update(responses_NCF[first : first + batch], labels_N[first : first + batch])
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


def test_planted_channels_come_in_order_and_a_constant_one_is_zero() -> None:
    labels_N = balanced_labels(400, 4)
    noise_NCF = random_responses(400, 5, 4)
    detector_NF = (labels_N == 2).double()[:, None] + 0.2 * noise_NCF[:, 0]
    responses_NCF = torch.stack(
        [detector_NF, noise_NCF[:, 1], torch.full((400, 4), 3.7), detector_NF, -detector_NF], dim=1
    ).double()

    detector, noise, constant, twin, flipped = relevance(responses_NCF, labels_N, 4).tolist()

    assert detector > 10 * noise
    assert constant == 0
    assert twin == detector
    assert flipped == pytest.approx(detector, abs=1e-12)


def test_relevance_ignores_scale_shift_order_of_images_and_names_of_classes() -> None:
    labels_N = balanced_labels(200, 5)
    responses_NCF = random_responses(200, 3, 4) + 0.5 * (labels_N == 1).double()[:, None, None]
    expected = relevance(responses_NCF, labels_N, 5)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))

    torch.testing.assert_close(relevance(7 * responses_NCF - 2, labels_N, 5), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(
        relevance(responses_NCF[order], labels_N[order], 5), expected, rtol=1e-9, atol=0
    )
    torch.testing.assert_close(relevance(responses_NCF, (labels_N + 2) % 5, 5), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("batch", [1, 7, 64, 199])
def test_streamed_batches_equal_one_pass(batch: int) -> None:
    labels_N = balanced_labels(200, 5)
    responses_NCF = random_responses(200, 3, 9)
    whole = relevance(responses_NCF, labels_N, 5)
    torch.testing.assert_close(
        relevance(responses_NCF, labels_N, 5, batch=batch), whole, rtol=1e-9, atol=1e-12
    )


def test_streaming_agrees_with_the_textbook_formula() -> None:
    labels_N = balanced_labels(60, 3)
    m_NF = random_responses(60, 1, 4)[:, 0]
    y_NK = torch.eye(3, dtype=torch.float64)[labels_N]
    m_NF, y_NK = m_NF - m_NF.mean(dim=0), y_NK - y_NK.mean(dim=0)
    norm = torch.linalg.matrix_norm
    expected = float(norm(m_NF.T @ y_NK) ** 2 / (norm(m_NF.T @ m_NF) * norm(y_NK.T @ y_NK)))
    assert float(relevance(m_NF[:, None], labels_N, 3)) == pytest.approx(expected, abs=1e-12)


def test_shuffled_labels_leave_next_to_nothing() -> None:
    labels_N = balanced_labels(4000, 10)
    shuffled_N = labels_N[torch.randperm(4000, generator=torch.Generator().manual_seed(2))]
    got = relevance(random_responses(4000, 20, 1), shuffled_N, 10)
    assert float(got.mean()) < 3 * 10 / 4000


def test_many_classes_are_projected_and_still_told_apart() -> None:
    num_classes = MAX_CLASSES + 40
    labels_N = balanced_labels(4 * num_classes, num_classes)
    targets_KD = class_targets(labels_N, num_classes, seed=0)
    assert targets_KD.shape == (num_classes, 64)
    assert torch.equal(targets_KD, class_targets(labels_N, num_classes, seed=0))
    detector_N = (labels_N < num_classes // 2).double()
    noise_N = random_responses(len(labels_N), 1, 1).flatten()

    detector, noise = relevance(torch.stack([detector_N, noise_N], dim=1)[..., None], labels_N, num_classes)

    assert detector > 2 * noise


def test_classes_with_one_image_share_a_target() -> None:
    targets_KD = class_targets(torch.tensor([0, 0, 1, 2, 3, 3]), 4, seed=0)
    assert torch.equal(targets_KD[1], targets_KD[2])
    assert not torch.equal(targets_KD[0], targets_KD[3])


def test_no_image_is_refused() -> None:
    statistics = ClassCorrelation(torch.eye(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least 1 image"):
        statistics.relevance()


def test_grid_is_never_finer_than_the_map() -> None:
    maps = random_responses(2, 3 * 1, 36).reshape(2, 3, 1, 6, 6)
    assert pool_to_grid(maps, 4).shape == (2, 3, 16)
    assert torch.equal(pool_to_grid(maps, 8), maps.flatten(2))
    torch.testing.assert_close(pool_to_grid(maps, 1)[:, :, 0], maps.mean(dim=(2, 3, 4)))


def test_places_count_equally_whatever_their_scale() -> None:
    first, second = torch.tensor([1.0, 3.0]), torch.tensor([200.0, 0.0])
    torch.testing.assert_close(average_normalised([first, second]), torch.tensor([0.625, 0.375]))
    assert torch.equal(average_normalised([first]), first)
