"""The real backend, as far as it goes without training."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InfeasibleBudgetsError
from search.backend import BackendSettings, load_backend
from search.stages_backend import StagesBackend

FACTORY = "search.stages_backend:create_backend"


@pytest.fixture
def backend(tmp_path: Path) -> StagesBackend:
    """A backend with an empty store."""
    found = load_backend(BackendSettings(factory=FACTORY, artifacts=str(tmp_path)))
    assert isinstance(found, StagesBackend)
    return found


def config(**changes: object) -> PruningConfig:
    return load_config({"architecture": {"name": "cifar_resnet8"}, "dataset": {"name": "digits"}, **changes})


def test_facts_say_what_data_and_network_are(backend: StagesBackend) -> None:
    facts = backend.describe(config())
    assert (facts["dataset"], facts["dataset.num_classes"]) == ("digits", 10)
    assert facts["architecture"] == "cifar_resnet8"
    for resource in ("macs", "params"):
        minimum, dense = facts[f"minimum.{resource}"], facts[f"dense.{resource}"]
        assert isinstance(minimum, int)
        assert isinstance(dense, int)
        assert 0 < minimum < dense


def test_facts_do_not_depend_on_budgets(backend: StagesBackend) -> None:
    assert backend.describe(config(budgets={"macs": 0.001})) == backend.describe(config())


def test_budgets_below_the_narrowest_network_are_refused(backend: StagesBackend) -> None:
    backend.check(config(budgets={"macs": 0.9}))
    with pytest.raises(InfeasibleBudgetsError, match="macs"):
        backend.check(config(budgets={"macs": 0.001}))


def test_only_shared_stages_are_planned_each_after_its_parents(backend: StagesBackend) -> None:
    plan = backend.plan(config())
    assert [stage.name for stage in plan.stages] == ["dense", "predictor", "selector", "explanations"]
    seen: set[str] = set()
    for stage in plan.stages:
        assert set(stage.parents) <= seen
        seen.add(stage.key)
    assert plan.trial_key not in seen


def test_another_basis_size_shares_all_but_selector_and_explanations(backend: StagesBackend) -> None:
    one, two = (backend.plan(config(saliency={"num_basis": number})) for number in (1, 2))
    shared = {stage.name for stage in one.stages} - {
        stage.name for stage in one.stages if stage.key not in {other.key for other in two.stages}
    }
    assert shared == {"dense", "predictor"}
    assert one.trial_key != two.trial_key


def test_nothing_is_finished_in_an_empty_store(backend: StagesBackend) -> None:
    assert not any(backend.has_artifact(stage.key) for stage in backend.plan(config()).stages)
