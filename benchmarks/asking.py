"""How long a free slot waits for a proposal when a study is long.

    python -m benchmarks.asking --trials 10000 --asks 5

Fills a study in memory with finished trials of a made-up search (two budgets, three objectives, four slots), asks
it for proposals as a search does, and prints the median seconds of CPU time and of wall time per sampler. ``auto``
is what it stands for in a search of so many trials. Nothing is trained.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.trial import TrialState

from pruning_core.config import PruningConfig
from reports.objectives import Direction
from search.sampling.per_trial_sampler import PerTrialSampler
from search.sampling.sampler_choice import AUTO, choose_sampler
from search.sampling.samplers import SAMPLERS, make_sampler
from search.sampling.search_task import SearchTask
from search.studies.view import BoundedHistory, StudyView
from spaces import Range, build_space

_POPULATION = 20
_NUM_RUNNING = 4
_SHARE = Range(low=0.06, high=0.6, log=True)


def make_task(num_trials: int) -> SearchTask:
    """Return a search of two budgets, two more ranges and a choice."""
    ranges = {
        "budgets.macs": _SHARE,
        "budgets.params": _SHARE,
        "loss_weights.steering": Range(low=0.01, high=10, log=True),
        "gates.learning_rate": Range(low=1e-4, high=1e-1, log=True),
        "saliency.num_basis": Range(choices=(1, 2, 4)),
    }
    return SearchTask(
        space=build_space(ranges, PruningConfig()),
        objectives={
            "accuracy": Direction.MAXIMIZE,
            "macs": Direction.MINIMIZE,
            "params": Direction.MINIMIZE,
        },
        num_trials=num_trials,
    )


def fill(study: optuna.Study, task: SearchTask, num_trials: int) -> None:
    """Add random finished trials, in generations for genetic algorithms, and a few that run."""
    rng = np.random.default_rng(0)
    source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for index in range(num_trials + _NUM_RUNNING):
        trial = source.ask()
        values = task.space.suggest(trial)
        is_finished = index < num_trials
        macs, params = (float(str(values[f"budgets.{name}"])) for name in ("macs", "params"))
        accuracy = 0.95 - 0.3 * (1 - (macs * params) ** 0.5) ** 3 - 0.05 * rng.random()
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if is_finished else TrialState.RUNNING,
                values=[accuracy, 1e6 * macs, 1e5 * params] if is_finished else None,
                params=trial.params,
                distributions=trial.distributions,
                constraints={"budgets": 0.0} if is_finished else None,
                system_attrs={NSGAIISampler._get_generation_key(): index // _POPULATION},
            )
        )
    newest = study.get_trials(deepcopy=False)[num_trials - _POPULATION : num_trials]
    study._storage.set_study_system_attr(
        study._study_id,
        f"{NSGAIISampler._get_parent_cache_key_prefix()}{(num_trials - 1) // _POPULATION}",
        [trial._trial_id for trial in newest],
    )


def measure(name: str, task: SearchTask, num_trials: int, num_asks: int) -> tuple[float, float]:
    """Return the median CPU and wall seconds of a proposal."""
    study = optuna.create_study(directions=[one.value for one in task.objectives.values()])
    fill(study, task, num_trials)

    def make(number: int, attempt: int | None) -> BaseSampler:
        return make_sampler("random" if attempt is None else name, task, 0, number)

    history = BoundedHistory(SAMPLERS[name].max_history)

    def view(shown: optuna.Study) -> StudyView:
        return StudyView(shown, lambda: history.shown(shown.get_trials(deepcopy=False), shown.directions))

    study.sampler = PerTrialSampler(task.space, make, lambda _: False, view)
    cpu_s, wall_s = [], []
    for _ in range(num_asks):
        before = time.process_time(), time.perf_counter()
        trial = study.ask()
        task.space.suggest(trial)
        cpu_s.append(time.process_time() - before[0])
        wall_s.append(time.perf_counter() - before[1])
        study.tell(trial, state=TrialState.FAIL)
    return statistics.median(cpu_s), statistics.median(wall_s)


def main() -> None:
    """Print one line per sampler."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--asks", type=int, default=5)
    parser.add_argument("--samplers", nargs="+", default=[AUTO, "tpe", "along_front"])
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = make_task(args.trials)
    for name in args.samplers:
        choice = choose_sampler(name, task)
        cpu_s, wall_s = measure(choice.name, task, args.trials, args.asks)
        print(
            f"{name} ({choice}): {1e3 * cpu_s:.0f} ms of CPU time, {1e3 * wall_s:.0f} ms, at {args.trials} trials"
        )


if __name__ == "__main__":
    main()
