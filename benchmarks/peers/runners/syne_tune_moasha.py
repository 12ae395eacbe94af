"""Syne Tune's MOASHA in Syne Tune's own tuning loop, on its simulator backend.

Its decisions cost no virtual time here, as nobody's do; delays between its parts are 0.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_backend import SimulatorConfig
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository.blackbox import Blackbox
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

from benchmarks.peers.runners.pipe import Field, Pipe, Run

EPOCHS, SECONDS = "epochs", "elapsed"
_LOOKS = 5000
"""How often the loop looks for results during the virtual time: a slot is free for a part of that at most."""


class AskedBlackbox(Blackbox):  # type: ignore[misc] # its package is not installed where types are checked
    """Answers from the other end of the pipe."""

    def __init__(self, pipe: Pipe, space: Mapping[str, Any], metrics: list[str]) -> None:
        super().__init__(
            configuration_space=dict(space),
            fidelity_space={EPOCHS: choice(pipe.task["epochs"])},
            objectives_names=[*metrics, SECONDS],
        )
        self._pipe = pipe

    @property
    def fidelity_values(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """At which epochs there are results."""
        return np.array(self._pipe.task["epochs"])

    def _objective_function(
        self,
        configuration: dict[str, Any],
        fidelity: dict[str, Any] | None = None,  # noqa: ARG002 - Syne Tune's signature
        seed: int | None = None,  # noqa: ARG002
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        measured = self._pipe.ask(configuration)
        return np.array([[*one["losses"], one["seconds"]] for one in measured])


def make_domain(field: Field) -> Any:
    """Write a field as Syne Tune does."""
    if field["choices"] is not None:
        return choice(field["choices"])
    kinds = {
        (False, False): uniform,
        (False, True): loguniform,
        (True, False): randint,
        (True, True): lograndint,
    }
    return kinds[field["whole"], field["log"]](field["low"], field["high"])


def run(pipe: Pipe) -> list[Run]:
    """Let the tuner run until the time is up."""
    task = pipe.task
    np.random.seed(task["seed"])  # noqa: NPY002 - MOASHA draws configurations from the global state
    space = {field["name"]: make_domain(field) for field in task["fields"]}
    metrics = ["error", "macs", "params"]
    backend = UserBlackboxBackend(
        blackbox=AskedBlackbox(pipe, space, metrics),
        elapsed_time_attr=SECONDS,
        simulator_config=SimulatorConfig(0.0, 0.0, 0.0, 0.0, 0.0),
        tuner_sleep_time=task["seconds"] / _LOOKS,
    )
    backend.time_keeper.real_time_since_last_recent_exit = lambda: 0.0
    scheduler = MOASHA(
        config_space=space,
        metrics=metrics,
        time_attr=EPOCHS,
        max_t=task["epochs"][-1],
        grace_period=task["epochs"][0],
        reduction_factor=task["eta"],
        random_seed=task["seed"],
    )
    results = SimulatorCallback()
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_wallclock_time=task["seconds"]),
        n_workers=task["slots"],
        sleep_time=0,
        callbacks=[results],
        save_tuner=False,
        print_update_interval=1e9,
        results_update_interval=1e9,
    )
    tuner.run()
    return _runs(results.dataframe().to_dict("records"), list(space), task["epochs"][-1])


def _runs(rows: list[dict[str, Any]], names: list[str], end: int) -> list[Run]:
    runs: dict[int, Run] = {}
    for row in sorted(rows, key=lambda row: row[EPOCHS]):
        values = {name: _plain(row[f"config_{name}"]) for name in names}
        begun = float(row["st_tuner_time"] - row[SECONDS])
        one = runs.setdefault(int(row["trial_id"]), Run(values=values, begun=begun, ended=None))
        if row[EPOCHS] == end:
            one["ended"] = float(row["st_tuner_time"])
    return list(runs.values())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


if __name__ == "__main__":
    pipe_ = Pipe()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder
        pipe_.finish(run(pipe_))
