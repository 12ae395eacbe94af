"""Contract of every sampler, whatever is added to the table, through the sampler that searches use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler
from optuna.trial import TrialState

from pruning_core.config import PruningConfig
from reports.objectives import Direction
from search.sampling import samplers
from search.sampling.per_trial_sampler import PerTrialSampler
from search.sampling.samplers import SAMPLERS, make_sampler
from search.sampling.search_task import SearchTask
from search.studies.view import BoundedHistory, StudyView
from spaces import Range, SearchSpace, Value, build_space

OBJECTIVES = {"accuracy": Direction.MAXIMIZE, "macs": Direction.MINIMIZE}

PLAIN = build_space(
    {
        "budgets.macs": Range(low=0.3, high=0.8),
        "loss_weights.steering": Range(low=0.01, high=10, log=True),
        "saliency.num_basis": Range(choices=(1, 2, 4)),
        "gates.steps": Range(low=100, high=300, step=50),
    },
    PruningConfig(),
)
CONDITIONAL = build_space(
    {
        "budgets.macs": Range(low=0.3, high=0.8),
        "gates.learning_rate": Range(
            low=0.01, high=1, log=True, when={"method": ("interpretation_steered",)}
        ),
        "gates.noise": Range(choices=("logistic", "gumbel"), when={"method": ("interpretation_steered",)}),
        "method": Range(choices=("interpretation_steered", "l1", "taylor")),
        "importance.allocation": Range(choices=("global", "sensitivity"), when={"method": ("l1", "taylor")}),
    },
    PruningConfig(),
)
SPACES = {"plain": PLAIN, "conditional": CONDITIONAL}

NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name == "gp" else []) for name in SAMPLERS]
"""A Gaussian process takes seconds for a proposal."""

Proposals = list[dict[str, Value]]


def wrap(name: str, space: SearchSpace, seed: int) -> PerTrialSampler:
    """Build what a search sets as its study's sampler, as `SearchStudy` does."""
    task = SearchTask(space=space, objectives=OBJECTIVES, num_trials=30)

    history = BoundedHistory(SAMPLERS[name].max_history)

    def make(number: int, attempt: int | None) -> BaseSampler:
        return make_sampler(
            name if attempt is not None else "random", task, seed, number - 1000 * (attempt or 0)
        )

    def view(study: optuna.Study) -> StudyView:
        return StudyView(study, lambda: history.shown(study.get_trials(deepcopy=False), study.directions))

    return PerTrialSampler(space, make, lambda _: False, view)


def propose(
    name: str,
    space: SearchSpace = PLAIN,
    *,
    seed: int = 0,
    num_trials: int = 30,
    fail_every: int = 7,
    limit: float = 0.7,
) -> Proposals:
    """Run a search of two slots with two objectives and a constraint; some of its trials fail, some are stopped.

    The constraint is that costs are at most ``limit``; accuracy grows with costs.
    """
    study = optuna.create_study(
        directions=[one.value for one in OBJECTIVES.values()], sampler=wrap(name, space, seed)
    )
    proposals: Proposals = []
    running: list[tuple[optuna.Trial, Mapping[str, Value]]] = []
    for number in range(num_trials):
        trial = study.ask()
        values = space.suggest(trial)
        proposals.append(values)
        running.append((trial, values))
        if len(running) < 2:
            continue
        trial, tried = running.pop(0)
        if number % fail_every == fail_every - 1:
            study.tell(trial, state=TrialState.FAIL if number % 2 else TrialState.PRUNED)
            continue
        cost = float(str(tried["budgets.macs"]))
        trial.set_constraint("cost", cost - limit)
        study.tell(trial, [cost**0.5, cost])
    return proposals


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_proposals_lie_in_the_space_after_failures_stops_and_violations(name: str, space: str) -> None:
    num_trials = 13 if name == "gp" else 30
    for values in propose(name, SPACES[space], num_trials=num_trials):
        SPACES[space].check_point(values)
        assert SPACES[space].existing(values) == values
        assert all(
            name in values for name in SPACES[space].distributions if SPACES[space].exists(name, values)
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_and_history_give_the_same_proposals(name: str) -> None:
    assert propose(name, seed=3, num_trials=13) == propose(name, seed=3, num_trials=13)


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_gives_other_proposals(name: str) -> None:
    assert propose(name, seed=3, num_trials=3) != propose(name, seed=4, num_trials=3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_built_anew_do_not_repeat_themselves(name: str) -> None:
    proposals = propose(name, num_trials=10)
    assert len({tuple(values.values()) for values in proposals}) == 10


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_given_for_a_trial_is_kept_and_the_rest_is_drawn(name: str) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=wrap(name, CONDITIONAL, 0))
    for cost in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        study.enqueue_trial({"budgets.macs": cost, "method": "l1"})
    for _ in range(6):
        trial = study.ask()
        values = CONDITIONAL.suggest(trial)
        assert values["method"] == "l1"
        assert values.keys() == {"budgets.macs", "method", "importance.allocation"}
        study.tell(trial, [float(str(values["budgets.macs"])), float(str(values["budgets.macs"]))])


@pytest.mark.parametrize(("name", "own"), [("NSGA2", NSGAIISampler), ("NSGA3", NSGAIIISampler)])
def test_a_genetic_algorithm_that_is_told_the_space_breeds_as_one_that_reads_it_off_the_trials(
    name: str, own: Callable[..., BaseSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = propose(name.lower(), num_trials=60)
    monkeypatch.setattr(samplers, name, lambda _space, **settings: own(**settings))
    assert propose(name.lower(), num_trials=60) == told


def test_low_discrepancy_proposals_fill_a_range_evenly() -> None:
    values = [float(str(one["budgets.macs"])) for one in propose("qmc", num_trials=18, fail_every=100)[2:]]
    eighths = {int((value - 0.3) / 0.5 * 8) for value in values}
    assert eighths == set(range(8))
