"""Attribution (T5) and TF-IDF (T6): conservation, planted detectors, slow oracles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pruning_core.data import iterate_batches
from pruning_core.importance import IMPORTANCES
from pruning_core.importance.attribution import sum_attributions
from pruning_core.importance.gate_gradients import gate_gradients, summed_evidence
from pruning_core.importance.read_points import calibration_images
from pruning_core.importance.tf_idf import tf_idf
from tests.pruning_core_tests.importance_cases import (
    INNER,
    OUTER,
    TwoConvolutions,
    graph_of,
    importance_context,
    seeded_network,
)


def bias_free_network() -> TwoConvolutions:
    """Behind group ``conv1`` nothing is added to what flows."""
    network = seeded_network()
    with torch.no_grad():
        for constant in (network.norm2.bias, network.norm2.running_mean, network.classifier.bias):
            assert constant is not None
            constant.zero_()
    return network


def images_and_labels(network: TwoConvolutions) -> tuple[Tensor, Tensor]:
    context = importance_context(network)
    images = calibration_images(context)
    batch = next(iterate_batches(images, context.data.normalisation, batch_size=96, device="cpu"))
    return batch.images_NCHW, batch.labels_N


def evidence_of_images(network: TwoConvolutions) -> tuple[dict[str, Tensor], Tensor]:
    """Evidence by channel, and the whole of each image."""
    images_NCHW, labels_N = images_and_labels(network)
    by_channel = gate_gradients(network, graph_of(network), images_NCHW, labels_N, summed_evidence)
    logits_NK = network(images_NCHW).detach()
    return by_channel, logits_NK.gather(1, labels_N[:, None])[:, 0] - logits_NK.mean(dim=1)


@pytest.mark.parametrize("group", [INNER, OUTER])
def test_evidence_of_a_group_that_every_path_runs_through_adds_up_to_that_of_the_image(group: str) -> None:
    by_channel, whole_N = evidence_of_images(bias_free_network())
    torch.testing.assert_close(by_channel[group].sum(dim=1), whole_N, rtol=1e-4, atol=1e-5)


def test_attribution_is_the_mean_evidence_for_the_class_of_the_image() -> None:
    network = seeded_network()
    by_channel, _ = evidence_of_images(network)
    scores = IMPORTANCES["attribution"].score(importance_context(network))
    for group, evidence_NC in by_channel.items():
        expected_C = evidence_NC.double().clamp_min(0).mean(dim=0)
        torch.testing.assert_close(scores[group], expected_C, rtol=1e-5, atol=1e-8)


def test_what_is_added_to_all_logits_changes_nothing() -> None:
    network = seeded_network()
    expected = IMPORTANCES["attribution"].score(importance_context(network))
    with torch.no_grad():
        network.classifier.weight.add_(torch.arange(6.0))
    got = IMPORTANCES["attribution"].score(importance_context(network))
    for group, score_C in expected.items():
        torch.testing.assert_close(got[group], score_C, rtol=1e-4, atol=1e-6)


def test_evidence_against_a_class_is_negative_for_its_images_alone_and_an_unheard_channel_has_none() -> None:
    network = seeded_network()
    with torch.no_grad():
        network.classifier.weight[:, 4] = 0
        network.classifier.weight[:, 1] = 0
        network.classifier.weight[0, 1] = -1.0
    images_NCHW, labels_N = images_and_labels(network)
    evidence = gate_gradients(network, graph_of(network), images_NCHW, labels_N, summed_evidence)[OUTER]
    assert bool((evidence[labels_N == 0][:, 1] <= 0).all())
    assert bool((evidence[labels_N != 0][:, 1] >= 0).all())
    assert evidence[:, 4].abs().max() == 0
    assert IMPORTANCES["attribution"].score(importance_context(network))[OUTER][4] == 0


def test_attributions_of_parts_add_up() -> None:
    context = importance_context(seeded_network())
    whole = sum_attributions(context)
    parts = sum_attributions(context, part=range(31)).plus(sum_attributions(context, part=range(31, 96)))
    assert (parts.num_images, whole.num_images) == (96, 96)
    for group in whole.totals:
        torch.testing.assert_close(parts.mean(group), whole.mean(group), rtol=1e-5, atol=1e-9)


# TF-IDF


def tf_idf_by_loops(size_NC: Tensor) -> list[float]:
    rows = size_NC.tolist()
    scores = []
    for channel in range(len(rows[0])):
        mean = sum(row[channel] for row in rows) / len(rows)
        hits = [row for row in rows if row[channel] > mean]
        frequency = sum(row[channel] / sum(row) for row in hits) / max(1, len(hits))
        scores.append(frequency * math.log(len(rows) / (len(hits) + 1)))
    return scores


def test_tf_idf_is_term_frequency_over_the_hits_times_inverse_document_frequency() -> None:
    size_NC = torch.rand(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    assert tf_idf(size_NC).tolist() == pytest.approx(tf_idf_by_loops(size_NC))


def test_tf_idf_prefers_the_rare_detector_and_gives_nothing_to_a_constant_or_silent_channel() -> None:
    rare_N, common_N = torch.zeros(40), torch.zeros(40)
    rare_N[:4], common_N[:20] = 1.0, 1.0
    constant_N, silent_N = torch.full((40,), 0.3), torch.zeros(40)
    rare, common, constant, silent = tf_idf(
        torch.stack([rare_N, common_N.roll(20), constant_N, silent_N], dim=1)
    ).tolist()
    assert rare > common > 0
    assert (constant, silent) == (0, 0)


def test_tf_idf_of_a_network_is_that_of_the_sizes_its_consumers_read() -> None:
    network = seeded_network()
    context = importance_context(network)
    images_NCHW, _ = images_and_labels(network)
    with torch.no_grad():
        maps = torch.relu(network.norm1(network.conv1(torch.relu(network.stem(images_NCHW)))))
    got = IMPORTANCES["tf_idf"].score(context)
    torch.testing.assert_close(got[INNER], tf_idf(maps.mean(dim=(2, 3))), rtol=1e-5, atol=1e-8)
    assert set(got) == {INNER, OUTER}
