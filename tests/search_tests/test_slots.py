from __future__ import annotations

import pytest

from pruning_core.errors import InvalidSettingsError
from search.execution import slots
from search.execution.slots import count_cpus, count_slots, count_trials_on_gpus
from search.spec_settings import ResourcesConfig


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight CPUs and two GPUs."""
    monkeypatch.setattr(slots, "count_cpus", lambda: 8)
    monkeypatch.setattr(slots, "count_gpus", lambda: 2)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, 8),
        ({"cpus_per_trial": 3}, 2),
        ({"slots": 3}, 3),
        ({"slots": 20}, 20),
        ({"gpus_per_trial": 1}, 2),
        ({"gpus_per_trial": 0.25}, 8),
        ({"gpus_per_trial": 0.1}, 8),
        ({"gpus_per_trial": 0.6}, 2),
        ({"gpus_per_trial": 0.6, "slots": 3}, 2),
        ({"gpus_per_trial": 2}, 1),
        ({"gpus_per_trial": 1, "slots": 5}, 2),
        ({"gpus_per_trial": 0.5, "cpus_per_trial": 4}, 2),
    ],
)
def test_as_many_slots_as_fit_the_machine(resources: dict[str, float], expected: int) -> None:
    assert count_slots(ResourcesConfig.model_validate(resources)) == expected


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"cpus_per_trial": 9}, "'resources.cpus_per_trial': must be at most the 8 CPUs .*, but got 9"),
        ({"gpus_per_trial": 3}, "'resources.gpus_per_trial': must be at most the 2 GPUs .*, but got 3"),
    ],
)
def test_a_trial_larger_than_the_machine_is_refused(resources: dict[str, float], problem: str) -> None:
    with pytest.raises(InvalidSettingsError, match=problem):
        count_slots(ResourcesConfig.model_validate(resources))


@pytest.mark.parametrize(
    ("gpus", "share", "expected"),
    [
        (2, 0.6, 2),
        (2, 0.51, 2),
        (3, 0.4, 6),
        (1, 0.3, 3),
        (2, 0.1, 20),
        (2, 1 / 3, 6),
        (2, 0.3334, 4),
        (2, 1 / 7, 14),
        (2, 0.99999, 2),
        (1, 0.0001, 10_000),
        (3, 2, 1),
        (4.0, 2, 2),
        (0, 0.5, 0),
        (1, 2, 0),
    ],
)
def test_no_trial_has_its_share_of_two_gpus(gpus: float, share: float, expected: int) -> None:
    assert count_trials_on_gpus(gpus, share) == expected


def test_this_machine_has_a_cpu() -> None:
    assert count_cpus() >= 1
