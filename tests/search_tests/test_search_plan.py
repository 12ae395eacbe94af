"""What a search would run: against a stand-in for the network, and once against the real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pruning_core.budgets import Resource
from pruning_core.config import PruningConfig
from pruning_core.errors import InfeasibleBudgetsError, InvalidSettingsError
from search.backend import Facts, PruningBackend, TrialPlan
from search.cli import app
from search.effects import check_effects
from search.first_proposals import first_proposals, proposal_rows, unlimited_notes
from search.search_plan import SearchPlan, describe_once, plan_search
from search.spec import SearchSpec, load_spec
from search.work_items import PlannedStage
from tests.search_tests.stored_studies import write_spec

runner = CliRunner()

SEARCH = "study: tiny\nsearch:\n  budgets.macs: {low: 0.2, high: 0.8}\n"


class Network:
    """A dense network of 1,000 MACs and params, of which 400 MACs and 100 params stay (half, at scope all)."""

    def __init__(self) -> None:
        self.num_described = 0

    def describe(self, config: PruningConfig) -> Facts:
        self.num_described += 1
        share = 1 if config.channels.scope == "inner" else 2
        return {
            "dense.macs": 1000,
            "dense.params": 1000,
            "minimum.macs": 400 // share,
            "minimum.params": 100 // share,
        }

    def sweep(self) -> None:
        pytest.fail("planning removes nothing")

    def plan(self, config: PruningConfig) -> TrialPlan:
        dense = PlannedStage(name="dense", key="dense")
        selector = PlannedStage(
            name="selector", key=f"selector {config.saliency.num_basis}", parents=("dense",)
        )
        return TrialPlan(trial_key=str(hash(config.model_dump_json())), stages=(dense, selector))

    def check(self, config: PruningConfig) -> None: ...

    def has_artifact(self, key: str) -> bool:
        raise AssertionError(key)

    def run_stage(self, name: str, config: PruningConfig) -> None:
        raise AssertionError(name, config)

    def run_rung(self, config: PruningConfig, epochs: int) -> Mapping[str, Any]:
        raise AssertionError(config, epochs)

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        raise AssertionError(config)


def plan(folder: Path, text: str, *overrides: str) -> SearchPlan:
    return plan_search(spec_of(folder, text, *overrides), Network())


def spec_of(folder: Path, text: str, *overrides: str) -> SearchSpec:
    return load_spec(write_spec(folder, text), overrides)


def test_a_configuration_to_try_first_must_be_within_reach(tmp_path: Path) -> None:
    text = (
        SEARCH
        + "  saliency.num_basis: {choices: [1, 2]}\nfirst:\n- {budgets.macs: 0.4}\n- {budgets.macs: 0.3}\n"
    )
    with pytest.raises(
        InfeasibleBudgetsError,
        match=r"'first.1': budgets.macs must be at least 0.4000 \(400\), .* but got 0.3",
    ):
        plan(tmp_path, text)


def test_a_first_configuration_that_leaves_a_budget_to_be_drawn_is_not_held_to_it(tmp_path: Path) -> None:
    text = SEARCH + "  saliency.num_basis: {choices: [1, 2]}\nfirst: [{saliency.num_basis: 2}]\n"
    assert plan(tmp_path, text, "run.budgets.macs=0.3").budgets


def test_the_part_of_a_range_below_the_minimum_is_told(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH)
    (macs,) = found.budgets
    assert (macs.resource, macs.minimum, macs.dense) == ("macs", 400, 1000)
    assert macs.infeasible_share == pytest.approx(1 / 3, abs=0.1)  # (0.4 - 0.2) / (0.8 - 0.2)
    assert found.infeasible_share == macs.infeasible_share
    assert str(macs).startswith("reachable minimum 400, 40.0% of the dense network; 3")


def test_a_range_above_the_minimum_can_be_met_everywhere(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH, "search.budgets.macs={low: 0.4, high: 0.8}")
    assert found.infeasible_share == 0
    assert str(found.budgets[0]).endswith("every configuration asks for more")


def test_of_two_budgets_the_one_that_does_not_vary_counts_too(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH, "run.budgets.params=0.05", "search.budgets.macs={low: 0.5, high: 0.8}")
    shares = {one.resource.value: one.infeasible_share for one in found.budgets}
    assert shares == {"macs": 0.0, "params": 1.0}
    assert found.infeasible_share == 1


def test_a_search_in_which_nothing_can_be_met_is_refused_with_the_minimum(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH, "search.budgets.macs={low: 0.1, high: 0.3}")
    with pytest.raises(
        InfeasibleBudgetsError, match=r"but all are below .* costs: macs 0.4000 \(400\); raise them"
    ):
        found.check_feasible()


def test_a_network_is_described_once_per_way_of_pruning_it(tmp_path: Path) -> None:
    network = Network()
    spec = spec_of(
        tmp_path, SEARCH + "  channels.scope: {choices: [inner, all]}\n  gates.steps: {low: 1, high: 99}\n"
    )
    found = plan_search(spec, network)
    assert network.num_described == 2
    assert found.budgets[0].minimum == 200
    assert 0 < found.infeasible_share < 1 / 3


def test_shared_stages_are_counted_by_name_and_never_more_than_trials(tmp_path: Path) -> None:
    text = SEARCH + "  saliency.num_basis: {choices: [1, 2, 4]}\n"
    assert plan(tmp_path, text).num_shared_stages == {"dense": 1, "selector": 3}
    assert plan(tmp_path, text, "limits.trials=2").num_shared_stages == {"dense": 1, "selector": 2}


def test_a_field_that_varies_only_with_methods_that_read_it_has_an_effect(tmp_path: Path) -> None:
    text = SEARCH + "  method: {choices: [l1, interpretation_steered]}\n"
    steps = "  gates.steps: {choices: [1, 2], when: {method: METHOD}}\n"
    check_effects(spec_of(tmp_path, text + steps.replace("METHOD", "interpretation_steered")))
    with pytest.raises(InvalidSettingsError, match=r"'search.gates.steps': has no effect with method l1,"):
        check_effects(spec_of(tmp_path, text + steps.replace("METHOD", "l1")))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("l1", "gates.steps"),
        ("random", "saliency.num_basis"),
        ("task_inspired", "loss_weights.steering"),
        ("taylor", "importance.grid_size"),
        ("lamp", "importance.num_images"),
        ("interpretation_steered", "importance.grid_size"),
    ],
)
def test_searching_over_what_the_method_does_not_read_is_refused(
    tmp_path: Path, method: str, name: str
) -> None:
    text = SEARCH + f"  {name}: {{choices: [1, 2]}}\n"
    with pytest.raises(InvalidSettingsError, match=f"'search.{name}': has no effect with method {method}"):
        check_effects(spec_of(tmp_path, text, f"run.method={method}"))


def test_a_field_that_one_of_the_searched_allocations_reads_may_vary(tmp_path: Path) -> None:
    text = SEARCH + "  importance.num_images: {low: 8, high: 64}\n"
    check_effects(spec_of(tmp_path, text, "run.method=l1", "run.importance.allocation=sensitivity"))
    text += "  importance.allocation: {choices: [uniform, sensitivity]}\n"
    check_effects(spec_of(tmp_path, text, "run.method=l1"))


def test_a_field_that_one_of_the_searched_methods_reads_may_vary(tmp_path: Path) -> None:
    text = SEARCH + "  method: {choices: [l1, interpretation_steered]}\n  gates.steps: {low: 1, high: 9}\n"
    check_effects(spec_of(tmp_path, text))


def test_plan_prints_what_would_run(tmp_path: Path) -> None:
    text = SEARCH + "  saliency.num_basis: {choices: [1, 2, 4]}\nlimits: {trials: 7, hours: 0.5}\n"
    result = runner.invoke(app, ["plan", str(write_spec(tmp_path, text))])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "study          tiny"
    assert lines[1] == "data           digits: 1,078 training, 360 validation, 359 test images, 10 classes"
    assert "trials         7, at most 0.5 hours" in lines
    assert "sampler        known_costs: auto, as budgets vary; seed 0" in lines
    assert any(line.startswith("budgets        macs: reachable minimum 472K, 15.5%") for line in lines)


def test_a_finite_space_is_planned_as_such(tmp_path: Path) -> None:
    text = "study: tiny\nsearch:\n  budgets.macs: {choices: [0.4, 0.6]}\n  saliency.num_basis: {choices: [1, 2]}\n"
    result = runner.invoke(app, ["plan", str(write_spec(tmp_path, text))])
    assert "trials         4 of 4 configurations" in result.stdout
    assert "sampler        random: auto, as 40 trials reach all 4 configurations; seed 0" in result.stdout


if TYPE_CHECKING:
    _: PruningBackend = Network()


def test_the_first_configurations_are_listed_with_what_is_known_of_them(tmp_path: Path) -> None:
    text = (
        SEARCH
        + "  saliency.num_basis: {choices: [1, 2]}\nfirst:\n"
        + "".join(
            f"- {{budgets.macs: {share}, saliency.num_basis: {basis}}}\n"
            for share, basis in ((0.8, 1), (0.5, 2), (0.6, 1), (0.45, 2))
        )
    )
    spec, network = spec_of(tmp_path, text), Network()
    proposals = first_proposals(spec, network, describe_once(network), 5)
    header, rows = proposal_rows(proposals)
    assert header == ["trial", "macs at most", "saliency.num_basis", "shared stages it is the first to need"]
    assert rows[:4] == [
        ["0", "800 (80.0%)", "1", "dense, selector"],
        ["1", "500 (50.0%)", "2", "selector"],
        ["2", "600 (60.0%)", "1", ""],
        ["3", "450 (45.0%)", "2", ""],
    ]
    assert network.num_described == 1
    assert [proposal.values for proposal in proposals] == [
        proposal.values for proposal in first_proposals(spec, network, describe_once(network), 5)
    ]


class NarrowLimits(Network):
    def check(self, config: PruningConfig) -> None:
        assert config.budgets.macs is not None
        if config.budgets.macs.limit(1000) < 400:
            raise InfeasibleBudgetsError("budgets.macs must be at least 0.4")


def test_configurations_that_cannot_be_met_are_listed_with_the_reason_and_need_no_stages(
    tmp_path: Path,
) -> None:
    spec, network = spec_of(tmp_path, SEARCH), NarrowLimits()
    proposals = first_proposals(spec, network, describe_once(network), 30)
    low = [one for one in proposals if one.limits[Resource.MACS] < 400]
    assert low
    assert {one.problem for one in low} == {"budgets.macs must be at least 0.4"}
    assert {one.new_stages for one in low} == {()}
    assert proposal_rows(low)[1][0][-1] == "cannot be met: budgets.macs must be at least 0.4"


def test_no_more_configurations_are_listed_than_there_are(tmp_path: Path) -> None:
    text = "study: tiny\nsearch:\n  saliency.num_basis: {choices: [1, 2]}\nrun: {budgets: {macs: 0.5}}\n"
    spec, network = spec_of(tmp_path, text), Network()
    found = [
        one.values["saliency.num_basis"] for one in first_proposals(spec, network, describe_once(network), 9)
    ]
    assert sorted(found, key=str) == [1, 2]
    limited = spec_of(tmp_path, SEARCH, "limits.trials=3")
    assert len(first_proposals(limited, network, describe_once(network), 9)) == 3


def test_what_no_budget_limits_is_not_predicted_and_that_is_said(tmp_path: Path) -> None:
    spec, network = spec_of(tmp_path, SEARCH), Network()
    note = (
        "params are not predicted: they follow from the channels that are chosen, and without budgets.params only "
        "the dense network's 1.00K bound them"
    )
    proposals = first_proposals(spec, network, describe_once(network), 2)
    assert proposal_rows(proposals)[0][1] == "macs at most"
    assert unlimited_notes(proposals) == [note]

    limited = spec_of(tmp_path, SEARCH, "run.budgets.params=0.5")
    assert unlimited_notes(first_proposals(limited, network, describe_once(network), 2)) == []


def test_where_only_some_have_a_budget_the_others_cost_at_most_what_the_dense_network_does(
    tmp_path: Path,
) -> None:
    text = (
        SEARCH
        + "  method: {choices: [l1, random]}\n"
        + "  budgets.params: {choices: [0.3], when: {method: l1}}\nfirst:\n"
        + "- {budgets.macs: 0.5, method: l1, budgets.params: 0.3}\n- {budgets.macs: 0.5, method: random}\n"
    )
    spec, network = spec_of(tmp_path, text), Network()
    proposals = first_proposals(spec, network, describe_once(network), 2)
    header, rows = proposal_rows(proposals)
    assert header[2] == "params at most"
    assert [row[2] for row in rows] == ["300 (30.0%)", "1.00K (100.0%)"]
    assert unlimited_notes(proposals) == []
