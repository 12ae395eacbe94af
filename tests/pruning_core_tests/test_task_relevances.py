"""Eta squared, kernel dependence and mutual information against closed forms and slow oracles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pruning_core.errors import InvalidSettingsError
from pruning_core.importance import TASK_RELEVANCES
from pruning_core.importance.class_targets import TaskLabels
from pruning_core.importance.mutual_information import NUM_BINS, quantile_bins
from pruning_core.importance.task_relevance import NEED_OUTPUTS


def relevance(name: str, responses_NCF: Tensor, labels_N: Tensor, num_classes: int) -> Tensor:
    statistics = TASK_RELEVANCES[name](TaskLabels(labels_N=labels_N, num_classes=num_classes, seed=0))
    statistics.update(responses_NCF, labels_N, 0)
    return statistics.relevance()


def random_responses(num_images: int, num_channels: int = 1, num_cells: int = 1, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_images, num_channels, num_cells, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("num_classes", [2, 5, 10])
def test_linear_cka_of_balanced_classes_and_one_number_is_eta_squared_over_root_of_classes_minus_one(
    num_classes: int,
) -> None:
    labels_N = torch.arange(600) % num_classes
    responses_NCF = random_responses(600, 3) + 0.3 * (labels_N == 1).double()[:, None, None]
    cka_C = relevance("cka", responses_NCF, labels_N, num_classes)
    eta_squared_C = relevance("eta_squared", responses_NCF, labels_N, num_classes)
    torch.testing.assert_close(cka_C, eta_squared_C / (num_classes - 1) ** 0.5, rtol=0, atol=1e-12)


def test_eta_squared_is_the_share_of_the_variance_that_class_means_explain() -> None:
    labels_N = torch.tensor([0, 0, 1, 1, 2, 2])
    within = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    response_N = torch.tensor([0.0, 0.0, 3.0, 3.0, 6.0, 6.0]) + within  # between: 6, within: 1
    assert float(relevance("eta_squared", response_N[:, None, None], labels_N, 3)) == pytest.approx(6 / 7)


def test_eta_squared_is_one_for_the_class_itself_and_sees_no_place() -> None:
    labels_N = torch.arange(40) % 2
    itself_N = labels_N.double()
    moved_NF = torch.stack([itself_N, 1 - itself_N], dim=1)  # the same mean everywhere
    responses_NCF = torch.stack([itself_N[:, None].expand(-1, 2), moved_NF], dim=1)
    assert relevance("eta_squared", responses_NCF, labels_N, 2).tolist() == pytest.approx([1, 0])
    assert float(relevance("cka", responses_NCF, labels_N, 2)[1]) == pytest.approx(1)


def test_kernel_alignment_of_the_class_itself_is_one() -> None:
    labels_N = torch.arange(90) % 3
    one_hot_N1K = torch.eye(3, dtype=torch.float64)[labels_N][:, None]
    assert float(relevance("hsic", one_hot_N1K, labels_N, 3)) == pytest.approx(1, abs=1e-12)


def unbiased_hsic(first_NN: Tensor, second_NN: Tensor) -> float:
    """Song et al. 2012, equation 5, term by term."""
    n = len(first_NN)
    a, b = first_NN.clone().fill_diagonal_(0), second_NN.clone().fill_diagonal_(0)
    trace = (a @ b).trace()
    sums = a.sum() * b.sum() / ((n - 1) * (n - 2))
    cross = 2 / (n - 2) * (a @ b).sum()
    return float((trace + sums - cross) / (n * (n - 3)))


def test_kernel_alignment_agrees_with_the_textbook_formula() -> None:
    labels_N = torch.arange(40) % 4
    m_NF = random_responses(40, 1, 3)[:, 0] + 0.5 * (labels_N == 1).double()[:, None]
    distance_NN = torch.cdist(m_NF, m_NF)
    median = distance_NN[torch.triu(torch.ones(40, 40), 1) > 0].square().median().sqrt()
    kernel_NN = torch.exp(-distance_NN.square() / (2 * median**2))
    same_NN = (labels_N[:, None] == labels_N).double()
    norm = (unbiased_hsic(kernel_NN, kernel_NN) * unbiased_hsic(same_NN, same_NN)) ** 0.5
    expected = unbiased_hsic(kernel_NN, same_NN) / norm
    assert 0.1 < expected < 1
    assert float(relevance("hsic", m_NF[:, None], labels_N, 4)) == pytest.approx(expected, rel=1e-9)


def test_kernel_sees_what_no_linear_statistic_sees() -> None:
    labels_N = torch.arange(400) % 2
    noise_N = random_responses(400).flatten() - 0.5
    sign_N = torch.where(torch.arange(400) % 4 < 2, 1.0, -1.0)
    response_N = torch.where(labels_N == 1, 2 * sign_N, 0.0) + 0.2 * noise_N  # same mean, other spread
    responses_N11 = response_N[:, None, None]
    assert float(relevance("eta_squared", responses_N11, labels_N, 2)) < 0.01
    assert float(relevance("hsic", responses_N11, labels_N, 2)) > 0.3
    assert float(relevance("mutual_information", responses_N11, labels_N, 2)) > 0.7


def test_blocks_leave_the_answer_close_to_that_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    labels_N = torch.randint(0, 3, (1024,), generator=generator)
    responses_NCF = random_responses(1024, 2, 4) + 0.3 * (labels_N == 1).double()[:, None, None]
    whole = relevance("hsic", responses_NCF[:256], labels_N[:256], 3)
    blocks = relevance("hsic", responses_NCF, labels_N, 3)
    torch.testing.assert_close(blocks, whole, rtol=0.15, atol=0)


def test_mutual_information_with_bins_that_are_the_classes_is_all_of_the_entropy_but_the_bias() -> None:
    labels_N = torch.arange(1000) % NUM_BINS
    responses_N11 = labels_N.double()[:, None, None]
    expected = 1 - (NUM_BINS - 1) ** 2 / 2000 / math.log(NUM_BINS)
    got = relevance("mutual_information", responses_N11, labels_N, NUM_BINS)
    assert float(got) == pytest.approx(expected, rel=1e-9)


def test_mutual_information_ignores_every_increasing_function() -> None:
    labels_N = torch.arange(200) % 3
    responses_NCF = random_responses(200, 2) + 0.5 * (labels_N == 1).double()[:, None, None]
    torch.testing.assert_close(
        relevance("mutual_information", responses_NCF.exp(), labels_N, 3),
        relevance("mutual_information", responses_NCF, labels_N, 3),
        rtol=1e-12,
        atol=0,
    )


def test_bias_is_taken_off_mutual_information() -> None:
    labels_N = torch.arange(300) % 10
    noise_C = relevance("mutual_information", random_responses(300, 40), labels_N, 10)
    plug_in_bias = (NUM_BINS - 1) * 9 / 600 / math.log(10)
    assert plug_in_bias > 0.05
    assert float(noise_C.mean()) < plug_in_bias / 3


def test_quantile_bins_are_equally_full_and_never_split_equal_values() -> None:
    values_NC = torch.stack([torch.arange(100.0), torch.cat([torch.zeros(75), torch.arange(1, 26.0)])], dim=1)
    bin_NC = quantile_bins(values_NC)
    assert torch.bincount(bin_NC[:, 0]).tolist() == [10] * NUM_BINS
    assert set(bin_NC[:75, 1].tolist()) == {int(bin_NC[0, 1])}
    assert bool((bin_NC[75:, 1] >= bin_NC[0, 1]).all())


def test_too_few_images_for_mutual_information_are_refused() -> None:
    task = TaskLabels(labels_N=torch.arange(400) % 100, num_classes=100, seed=0)
    with pytest.raises(
        InvalidSettingsError, match=r"needs 891 calibration images for 100 classes, but there are 400; raise"
    ):
        TASK_RELEVANCES["mutual_information"](task)


@pytest.mark.parametrize("name", sorted(TASK_RELEVANCES.keys() - NEED_OUTPUTS))
def test_classes_with_one_image_count_as_one(name: str) -> None:
    labels_N = torch.tensor([0] * 20 + [1] * 20 + [2, 3])
    merged_N = torch.tensor([0] * 20 + [1] * 20 + [2, 2])
    responses_NCF = random_responses(42, 2) + (labels_N == 1).double()[:, None, None]
    torch.testing.assert_close(
        relevance(name, responses_NCF, labels_N, 4), relevance(name, responses_NCF, merged_N, 4)
    )
