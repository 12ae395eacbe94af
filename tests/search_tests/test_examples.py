"""The examples are specs that can be launched, and search over what they are meant to show."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution

from search.commands.plan import make_plan
from search.spec import SearchSpec, load_spec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> SearchSpec:
    return load_spec(EXAMPLES / name)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_varies_two_budgets_and_the_number_of_basis_functions(path: Path) -> None:
    spec = load_spec(path)
    varied = spec.space.distributions
    assert {"budgets.macs", "budgets.params", "loss_weights.steering"} <= varied.keys()
    assert varied["saliency.num_basis"] == CategoricalDistribution([1, 2, 4])
    assert spec.limits.trials >= 10
    assert spec.fixed_points


def test_the_embedded_default_needs_no_download_and_every_budget_in_it_can_be_met() -> None:
    spec = load("digits.yaml")
    assert spec.run.dataset.name == "digits"
    assert spec.limits.trials >= 12
    found = make_plan(spec)
    assert found.infeasible_share == 0
    assert found.num_shared_stages == {"dense": 1, "predictor": 1, "selector": 3, "explanations": 3}


def test_the_cifar_example_reads_a_file_beside_the_repository() -> None:
    root = load("cifar10_resnet20.yaml").run.dataset.root
    assert root is not None
    assert Path(root) == EXAMPLES / "../data/cifar10.npz"
