"""Contract of every sampler, whatever is added to the table."""

import optuna
import pytest

from pruning_core.config import PruningConfig
from search.samplers import SAMPLERS, make_sampler
from spaces import Range, Value, build_space

SPACE = build_space(
    {
        "budgets.macs": Range(low=0.3, high=0.8),
        "loss_weights.steering": Range(low=0.01, high=10, log=True),
        "saliency.num_basis": Range(choices=(1, 2, 4)),
        "gates.steps": Range(low=100, high=300, step=50),
    },
    PruningConfig(),
)

Proposals = list[dict[str, Value]]


def propose(name: str, *, seed: int = 0, num_trials: int = 30, fail_every: int = 7) -> Proposals:
    """Run a search with two objectives and a constraint; some of its trials fail."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    proposals: Proposals = []
    for number in range(num_trials):
        study.sampler = make_sampler(name, seed, number)
        trial = study.ask()
        values = SPACE.suggest(trial)
        proposals.append(values)
        if number % fail_every == fail_every - 1:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        cost = float(str(values["budgets.macs"]))
        trial.set_constraint("cost", cost - 0.7)
        study.tell(trial, [cost**0.5, cost])
    return proposals


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_lie_in_the_space(name: str) -> None:
    for values in propose(name):
        SPACE.check_point(values)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_and_history_give_the_same_proposals(name: str) -> None:
    assert propose(name, seed=3, num_trials=15) == propose(name, seed=3, num_trials=15)


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_gives_other_proposals(name: str) -> None:
    assert propose(name, seed=3, num_trials=3) != propose(name, seed=4, num_trials=3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_built_anew_do_not_repeat_themselves(name: str) -> None:
    proposals = propose(name, num_trials=10)
    assert len({tuple(values.values()) for values in proposals}) == 10


def test_low_discrepancy_proposals_fill_a_range_evenly() -> None:
    values = [float(str(one["budgets.macs"])) for one in propose("qmc", num_trials=17, fail_every=100)[1:]]
    eighths = {int((value - 0.3) / 0.5 * 8) for value in values}
    assert eighths == set(range(8))
