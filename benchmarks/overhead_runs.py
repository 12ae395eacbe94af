"""The measurements of `benchmarks.overhead`, each in a process of its own; the last line of stdout is JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from ray import tune
from rich.console import Console

from benchmarks.no_op_backend import FACTORY, NoOpBackend
from pruning_core.config import load_config
from reports.records import RungScores, StudyRecords, TrialRecord
from search.driver import run_search
from search.early_stopping.rung_book import RungBook
from search.execution.ray_session import local_ray, worker_environment
from search.outcomes import ItemOutcome, OutcomeStatus
from search.progress import LiveProgress, PlainProgress, SearchState
from search.proposer import Proposer
from search.sampling.per_trial_sampler import MakeSampler, PerTrialSampler
from search.spec import SearchSpec
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.studies.study import open_search_study
from search.timeline import Timeline
from search.work_items import WorkItem

_LAST = 100
"""Over so many trials the driver's time is averaged."""


def make_spec(root: Path, sampler: str, num_trials: int, slots: int, rule: str = "none") -> SearchSpec:
    """Return a search of two budgets, two more ranges and a choice."""
    share = {"low": 0.06, "high": 0.6, "log": True}
    return SearchSpec.model_validate(
        {
            "study": "overhead",
            "search": {
                "budgets.macs": share,
                "budgets.params": share,
                "loss_weights.steering": {"low": 0.01, "high": 10, "log": True},
                "gates.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
                "saliency.num_basis": {"choices": [1, 2, 4]},
            },
            "sampler": {"name": sampler},
            "halving": {"rule": rule},
            "limits": {"trials": num_trials},
            "resources": {"slots": slots},
            "storage": {"path": str(root)},
        }
    )


def through_us(root: Path, num_trials: int, slots: int) -> dict[str, Any]:
    """Run a whole search over Ray."""
    spec = make_spec(root, "random", num_trials, slots)
    folder = StudyFolder(root, spec.study)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        run_search(spec, folder, resume=False, console=Console(file=nowhere), backend=FACTORY)
    return _rate([record.finished_at for record in read_study(folder).records])


def _rate(ends: Sequence[float | None]) -> dict[str, Any]:
    known = sorted(end for end in ends if end is not None)
    assert len(known) == len(ends)
    return {"trials_per_second": (len(known) - 1) / (known[-1] - known[0])}


def _report(config: dict[str, float]) -> None:
    tune.report({"score": sum(config.values()), "ended_at": time.time()})


def through_ray(root: Path, num_trials: int, slots: int) -> dict[str, Any]:
    """Run as many trials with what Ray Tune brings."""
    with local_ray(num_cpus=slots, use_gpus=False, environment=worker_environment(1)):
        tuner = tune.Tuner(
            tune.with_resources(_report, {"cpu": 1}),
            param_space={name: tune.uniform(0, 1) for name in "abcde"},
            tune_config=tune.TuneConfig(
                num_samples=num_trials, reuse_actors=True, max_concurrent_trials=slots
            ),
            run_config=tune.RunConfig(storage_path=str(root), verbose=0),
        )
        results: Any = tuner.fit()
        return _rate([result.metrics["ended_at"] for result in results])


class Stopwatch:
    """Adds up CPU seconds by name; time inside a part that is measured itself counts for that part alone."""

    def __init__(self) -> None:
        self.seconds = {"sampler": 0.0, "storage": 0.0, "live": 0.0, "halving": 0.0}
        self._inside: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens in the context for a part."""
        self._switch()
        self._inside.append(name)
        try:
            yield
        finally:
            self._switch()
            self._inside.pop()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return the function, measured."""

        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return measured

    def _switch(self) -> None:
        now = time.process_time()
        if self._inside:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now


class _Chosen:
    """Lets the sampler propose while it is measured, and draws at random before: long histories then take minutes."""

    def __init__(self) -> None:
        self.is_measured = False

    def install(self) -> None:
        """Have all samplers that are made from now on ask this switch."""
        begin = PerTrialSampler.__init__

        def begin_switched(sampler: PerTrialSampler, space: Any, make: MakeSampler, *others: Any) -> None:
            def make_chosen(number: int, attempt: int | None) -> BaseSampler:
                return make(number, attempt if self.is_measured else None)

            begin(sampler, space, make_chosen, *others)

        setattr(PerTrialSampler, "__init__", begin_switched)  # noqa: B010 - mypy refuses the assignment


def driver_time(root: Path, sampler: str, rule: str, lengths: Sequence[int]) -> dict[str, Any]:
    """Run a search whose trials end at once in this process, and measure it when it has begun so many."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        return {"rows": _driver_rows(root, sampler, rule, lengths, nowhere)}


def _driver_rows(
    root: Path, sampler: str, rule: str, lengths: Sequence[int], nowhere: TextIO
) -> list[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = make_spec(root, sampler, max(lengths), 2, rule)
    folder = StudyFolder(root, spec.study)
    folder.create("")
    watch = Stopwatch()
    for name in ("sample_relative", "sample_independent", "before_trial", "after_trial"):
        setattr(PerTrialSampler, name, watch.timed(getattr(PerTrialSampler, name), "sampler"))
    for name in BaseStorage.__dict__:
        if not name.startswith("_"):
            setattr(JournalStorage, name, watch.timed(getattr(JournalStorage, name), "storage"))
    for name in ("add", "verdicts"):
        setattr(RungBook, name, watch.timed(getattr(RungBook, name), "halving"))
    chosen = _Chosen()
    chosen.install()
    study = open_search_study(folder, spec)
    backend = NoOpBackend()
    proposer = Proposer(
        spec=spec,
        study=study,
        backend=backend,
        timeline=Timeline(folder.timeline_path),
        listener=_Views(spec, watch, chosen, nowhere),
        slots=spec.resources.slots or 1,
    )
    proposer.begin([], [])
    name = f"{sampler} ({study.sampler.name})" if sampler == "auto" else sampler
    rows: list[dict[str, Any]] = []
    begun = 0
    for length in sorted(lengths):
        begun, _ = _run_until(proposer, backend, begun, length - _LAST)
        chosen.is_measured = True
        before, before_by_part, begun_before = time.process_time(), dict(watch.seconds), begun
        begun, num_items = _run_until(proposer, backend, begun, length)
        span = begun - begun_before
        parts = {
            f"{part}_ms": 1e3 * (watch.seconds[part] - before_by_part[part]) / span for part in watch.seconds
        }
        whole = 1e3 * (time.process_time() - before) / span
        chosen.is_measured = False
        row = {"sampler": name, "rule": rule, "trials": length, "items": num_items / span}
        rows.append({**row, **parts, "own_ms": whole - sum(parts.values())})
    return rows


def _run_until(proposer: Proposer, backend: NoOpBackend, begun: int, wanted: int) -> tuple[int, int]:
    """Go on until so many trials have begun and nothing runs; return how many have, and the items that it took."""
    num_items = 0
    while begun < wanted:
        begun = max(begun, _run_one(proposer, backend) + 1)
        num_items += 1
    return begun, num_items


def _run_one(proposer: Proposer, backend: NoOpBackend) -> int:
    """Run what comes next; return the number of its trial."""
    item = proposer.next_item()
    assert item is not None
    now = time.time()
    config = load_config(proposer.config_of(item))
    result = backend.run_trial(config) if item.until is None else backend.run_rung(config, item.until)
    outcome = ItemOutcome(status=OutcomeStatus.COMPLETE, started_at=now, finished_at=now, result=result)
    proposer.finish_item(item, outcome)
    return item.number


class _Views:
    """Listens as a search's session does, and shows what `launch` shows where there is no terminal.

    The view of a terminal is kept beside it as a part of its own. It is drawn once for each trial that is measured;
    in a search it is drawn twice a second.
    """

    def __init__(self, spec: SearchSpec, watch: Stopwatch, chosen: _Chosen, nowhere: TextIO) -> None:
        self._watch = watch
        self._chosen = chosen
        self._state = _begun(spec)
        self._plain = PlainProgress(self._state, Console(file=nowhere))
        self._terminal = Console(file=nowhere, force_terminal=True, color_system="256", width=120, height=50)
        self._live = LiveProgress(_begun(spec), self._terminal)
        self._handed_over: StudyRecords | None = None

    def item_started(self, item: WorkItem) -> None:
        self._plain.item_started(item)
        with self._watch.part("live"):
            self._live.item_started(item)

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        self._plain.item_finished(item, outcome)
        with self._watch.part("live"):
            self._live.item_finished(item, outcome)

    def rung_reached(self, number: int, rung: RungScores) -> None:
        self._plain.rung_reached(number, rung)
        with self._watch.part("live"):
            self._live.rung_reached(number, rung)

    def trial_finished(self, record: TrialRecord) -> None:
        self._plain.trial_finished(record)
        self._handed_over = self._state.study  # to MLflow's writer
        with self._watch.part("live"):
            self._live.trial_finished(record)
            if self._chosen.is_measured:
                self._terminal.print(self._live._draw())


def _begun(spec: SearchSpec) -> SearchState:
    now = time.time()
    study = StudyRecords(
        study=spec.study, objectives=spec.objectives, created_at=now, updated_at=now, version="0"
    )
    return SearchState(study, limit=spec.limits.trials, slots=spec.resources.slots or 1)


def main() -> None:
    """Run one measurement: FOLDER SIDE ARGUMENTS."""
    folder, side, *rest = sys.argv[1:]
    if side == "driver":
        found = driver_time(Path(folder), rest[0], rest[1], [int(text) for text in rest[2:]])
    else:
        run = {"prunefront": through_us, "ray": through_ray}[side]
        found = run(Path(folder), *map(int, rest))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
