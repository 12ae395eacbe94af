"""NePS' multi-objective optimisers through its ask-and-tell interface, under a virtual clock.

    python -m benchmarks.peers.runners.neps_ask_tell moasha|primo

A configuration that NePS lets go on continues from where it was left, so only the further epochs take time. PriMO gets
no priors, because nobody else is told where to look.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from typing import Any, NamedTuple

import neps
import numpy as np
import torch

from benchmarks.peers.runners.pipe import Field, Measured, Pipe, Run, Task

EPOCHS = "epochs"


def make_space(task: Task) -> Any:
    """Write the space as NePS does; its names may hold no dots."""

    def parameter(field: Field) -> Any:
        if field["choices"] is not None:
            return neps.HPOCategorical(choices=field["choices"])
        kind = neps.HPOInteger if field["whole"] else neps.HPOFloat
        return kind(lower=field["low"], upper=field["high"], log=field["log"])

    parameters = {f"x{index}": parameter(field) for index, field in enumerate(task["fields"])}
    parameters[EPOCHS] = neps.HPOInteger(lower=task["epochs"][0], upper=task["epochs"][-1], is_fidelity=True)
    return neps.SearchSpace(parameters)


def make_optimizer(name: str, task: Task) -> Any:
    """Build an optimiser whose rungs lie at the task's epochs."""
    space = make_space(task)
    if name == "moasha":
        return neps.algorithms.moasha(space, eta=task["eta"])
    return neps.algorithms.primo(space, eta=task["eta"], prior_centers={})


class Pending(NamedTuple):
    """A trial that runs. ``key``: of its configuration, which is the same on every rung."""

    trial: Any
    key: str
    measured: Measured


class Loop:
    """Keeps as many slots busy as the task has, until its time is up."""

    def __init__(self, pipe: Pipe, name: str) -> None:
        self._pipe = pipe
        self._task = pipe.task
        self._asked = neps.AskAndTell(make_optimizer(name, pipe.task))
        self._runs: dict[str, Run] = {}
        self._running: list[tuple[float, int, str]] = []
        self._pending: dict[str, Pending] = {}
        self._num_started = 0

    def run(self) -> list[Run]:
        """Return every configuration that was begun."""
        now = 0.0
        while now < self._task["seconds"]:
            while len(self._running) < self._task["slots"]:
                self._start(now)
            now, _, name = heapq.heappop(self._running)
            self._end(name, now)
        return list(self._runs.values())

    def _start(self, now: float) -> None:
        trial = self._asked.ask()
        name = self._own_name(trial)
        values = self._values(trial.config)
        measured = {one["epochs"]: one for one in self._pipe.ask(values)}
        reached = measured[int(trial.config[EPOCHS])]
        before = trial.metadata.previous_trial_id
        spent = 0.0
        if before is not None:
            spent = measured[int(self._asked.trials[before].config[EPOCHS])]["seconds"]
        key = json.dumps(values, sort_keys=True)
        self._runs.setdefault(key, Run(values=values, begun=now, ended=None))
        self._pending[name] = Pending(trial, key, reached)
        self._num_started += 1
        heapq.heappush(self._running, (now + reached["seconds"] - spent, self._num_started, name))

    def _end(self, name: str, now: float) -> None:
        _, key, measured = self._pending.pop(name)
        self._asked.tell(name, {"objective_to_minimize": measured["losses"], "cost": measured["seconds"]})
        if measured["epochs"] == self._task["epochs"][-1] and self._runs[key]["ended"] is None:
            self._runs[key]["ended"] = now

    def _own_name(self, trial: Any) -> str:
        """Return the trial's name; PriMO names a proposal like one that still runs, and then it gets a new one."""
        name: str = trial.id
        if name not in self._pending:
            return name
        trials = self._asked.trials
        trials[name] = self._pending[name].trial
        new = str(1 + max(int(one.split("_")[0]) for one in trials))
        trials[new] = trial
        return new

    def _values(self, config: Any) -> dict[str, Any]:
        return {
            field["name"]: _plain(config[f"x{index}"]) for index, field in enumerate(self._task["fields"])
        }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    pipe_ = Pipe()
    random.seed(pipe_.task["seed"])
    np.random.seed(pipe_.task["seed"])  # noqa: NPY002 - NePS draws from the global states
    torch.manual_seed(pipe_.task["seed"])
    torch.set_num_threads(1)
    pipe_.finish(Loop(pipe_, sys.argv[1]).run())
