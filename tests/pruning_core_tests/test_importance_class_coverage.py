"""Class coverage: which classes lose their last detector."""

from __future__ import annotations

import pytest
import torch

from pruning_core.channels.structures import ChannelSelection
from pruning_core.importance import (
    IMPORTANCES,
    ClassProfile,
    coverage_facts,
    rate_channels,
    report_class_coverage,
)
from pruning_core.importance.class_coverage import ClassSums
from tests.pruning_core_tests.importance_cases import (
    INNER,
    NUM_CLASSES,
    OUTER,
    importance_context,
    seeded_network,
)


def detectors_of(*classes: int) -> ClassProfile:
    """One channel per entry that answers to that class alone."""
    share_CK = torch.zeros(len(classes), 3, dtype=torch.float64)
    share_CK[torch.arange(len(classes)), list(classes)] = 0.4
    return ClassProfile(mean_CK=share_CK.clone(), share_CK=share_CK)


def test_class_without_detectors_is_named_per_group_and_overall() -> None:
    profiles = {"first": detectors_of(0, 1, 1), "second": detectors_of(2, 0)}
    selection = ChannelSelection(kept={"first": (1,), "second": (1,)})
    coverage = report_class_coverage(profiles, selection)
    assert coverage.lost_by_group == {"first": (0,), "second": (2,)}
    assert coverage.lost_everywhere == (2,)


def test_keeping_everything_loses_nothing() -> None:
    profiles = rate_channels(IMPORTANCES["task_inspired"], importance_context(seeded_network())).profiles
    everything = ChannelSelection(kept={INNER: tuple(range(8)), OUTER: tuple(range(6))})
    coverage = report_class_coverage(profiles, everything)
    assert coverage.lost_everywhere == ()
    assert set(coverage.lost_by_group) == {INNER, OUTER}
    assert all(lost == () for lost in coverage.lost_by_group.values())


def test_facts_name_removed_detectors_and_warn_of_classes_that_lost_all() -> None:
    profiles = {"first": detectors_of(0, 1, 1), "second": detectors_of(2, 0)}
    selection = ChannelSelection(kept={"first": (1,), "second": (1,)})
    facts = coverage_facts(profiles, selection, ("cat", "dog", "ship"))
    assert facts == {
        "removed_detectors": {"first": {"0": ["cat"], "2": ["dog"]}, "second": {"0": ["ship"]}},
        "lost_by_group": {"first": ["cat"], "second": ["ship"]},
        "warnings": ["class 'ship' has lost its detectors in every group"],
    }


def test_detected_classes_are_those_that_raise_the_response_most_explained_first() -> None:
    share_CK = torch.tensor([[0.1, 0.3, 0.005, 0.4, 0.15], [0.0, 0.0, 0.0, 0.0, 0.0]])
    mean_CK = torch.tensor([[2.0, 2.0, 2.0, -9.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    profile = ClassProfile(mean_CK=mean_CK, share_CK=share_CK)
    assert profile.detected_classes() == [(1, 4, 0), ()]
    assert profile.detectors().tolist() == [[True, True, False, False, True], [False] * 5]


def test_profile_gives_class_means_and_the_variance_they_explain() -> None:
    labels_N = torch.arange(40) % NUM_CLASSES
    generator = torch.Generator().manual_seed(0)
    response_N = (labels_N == 1) * 2.0 + torch.rand(40, generator=generator)
    sums = ClassSums(torch.tensor([[0], [1]]), NUM_CLASSES)
    inputs = torch.stack([response_N, torch.full((40,), 5.0)], dim=1)[:, :, None, None].expand(-1, -1, 3, 3)
    for first in (0, 16):
        stop = 16 if first == 0 else 40
        sums.observe(inputs[first:stop], labels_N[first:stop], first)

    profile = sums.profile()

    means = torch.stack([response_N[labels_N == label].mean() for label in range(NUM_CLASSES)])
    torch.testing.assert_close(profile.mean_CK[0], means.double(), rtol=1e-6, atol=1e-6)
    eta_squared = 0.25 * (means - response_N.mean()).square().sum() / response_N.var(correction=0)
    assert float(profile.share_CK[0].sum()) == pytest.approx(float(eta_squared), rel=1e-5)
    assert profile.detectors()[0].tolist() == [False, True, False, False]
    assert float(profile.share_CK[1].sum()) == 0
    assert not bool(profile.detectors()[1].any())
