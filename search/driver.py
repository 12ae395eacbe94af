"""One search from its spec to its end, by the one process that owns its state.

Workers compute and hand back outcomes; this process alone writes the study, the timeline and MLflow.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

import optuna
from rich.console import Console

from pruning_core.errors import InfeasibleBudgetsError
from reports.records import StudyRecords, TrialStatus
from search.backend import (
    STAGES_BACKEND,
    BackendSettings,
    Facts,
    backend_settings,
    load_backend,
    settings_elsewhere,
)
from search.database.lock import DatabaseLock, hold_in_database
from search.database.snapshot import refuse_known_study
from search.execution.cluster import check_address
from search.execution.node_watch import NodeWatch
from search.execution.ray_place import RayPlace, open_cluster, open_here
from search.execution.ray_searcher import RaySearcher, Watch
from search.execution.ray_session import Interrupts, run_items, worker_environment
from search.execution.slots import count_slots
from search.file_systems import refuse_database_file
from search.overrides import CHANGEABLE, find_changes, value_text
from search.session import FAILED, FINISHED, INTERRUPTED, SearchSession
from search.spec import SearchSpec, dump_spec, load_spec
from search.studies.folder import StudyFolder
from search.studies.lock import hold_study
from search.studies.records import read_study
from search.timing import Timing

__all__ = ["STAGES_BACKEND", "SearchOutcome", "run_search"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """A search that came to its end; everything is of the whole study, over all of its sessions.

    ``num_untracked``: finished trials that MLflow could not be told of; the next ``resume`` delivers them.
    ``why_early``: why it ended though ``limits.trials`` was not reached; None if it was.
    """

    study: StudyRecords
    num_complete: int
    num_failed: int
    num_infeasible: int
    num_untracked: int
    timing: Timing
    num_stopped: int = 0
    why_early: str | None = None


def run_search(
    spec: SearchSpec,
    folder: StudyFolder,
    *,
    resume: bool,
    console: Console,
    prepare: Callable[[], object] = lambda: None,
    backend: str = STAGES_BACKEND,
    address: str | None = None,
) -> SearchOutcome:
    """Run a search, or what is left of one, to its end.

    Args:
        spec: What to search; limits and resources that differ from those of a study that is resumed are kept with it.
        folder: Where the study lies, or will.
        resume: Whether the study is there already.
        console: Shows progress.
        prepare: Called in another thread while Ray starts; what it raises ends the search before it began.
        backend: ``module:function`` that makes the pruning backend, here and in workers.
        address: Of the Ray cluster whose machines run the trials (see `check_address`); None: this machine runs them.

    Raises:
        PrunefrontError: What a user must mend; nothing was written if the search had not begun.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the study can be resumed.
    """
    started_at = time.time()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    environment = worker_environment(spec.resources.cpus_per_trial)
    for name, value in environment.items():
        os.environ.setdefault(name, value)  # this process imports torch too
    if address is None:
        count_slots(spec.resources)  # refuses what this machine cannot do before anything starts
    else:
        check_address(address)
    settings = backend_settings(spec, folder, backend)
    with ExitStack() as stack:
        if resume:
            folder.check_existing()
            lock = stack.enter_context(hold_in_database(spec.storage.optuna, spec.study))
            stack.enter_context(hold_study(folder))
        else:
            folder.check_new()
            if spec.storage.mlflow is None:
                refuse_database_file(folder.root)
            refuse_known_study(spec.storage.optuna, spec.study)
        # Loading data and libraries takes as long as starting Ray, so both happen at once.
        facts = stack.enter_context(ThreadPoolExecutor(1)).submit(_describe, spec, settings, prepare)
        place = stack.enter_context(open_here(spec) if address is None else open_cluster(spec, address))
        facts.result()
        if not resume:
            lock = stack.enter_context(hold_in_database(spec.storage.optuna, spec.study))
            refuse_known_study(spec.storage.optuna, spec.study)  # another driver may have begun meanwhile
            folder.create(dump_spec(spec), None if lock is None else uuid.uuid4().hex)
            stack.enter_context(hold_study(folder))
        session = SearchSession(
            spec=spec,
            folder=folder,
            backend=load_backend(settings),
            facts=facts.result(),
            slots=place.slots,
            console=console,
            ensure_held=(lambda: None) if lock is None else lock.ensure,
        )
        if resume:
            _keep_changes(spec, folder, console)
        _say(
            console,
            f"{spec.study}: up to {spec.limits.trials} trials, {place.slots} at once; in {folder.path}",
        )
        if place.is_cluster:
            settings = settings_elsewhere(settings, spec, folder)
        timing, num_untracked = _run(session, spec, place, settings, started_at, console, lock)
    outcome = _outcome(read_study(folder), timing, num_untracked, session.tracking_problem, console)
    return replace(outcome, why_early=session.proposer.why_early)


def _keep_changes(spec: SearchSpec, folder: StudyFolder, console: Console) -> None:
    """Write new limits and resources into the study's own spec, so that every later command knows of them."""
    known = load_spec(folder.spec_path)
    kept = known.model_copy(update={name: getattr(spec, name) for name in CHANGEABLE})
    changes = find_changes(known.model_dump(mode="json"), kept.model_dump(mode="json"))
    if not changes:
        return
    folder.replace_spec(dump_spec(kept))
    told = [f"{key}={value_text(new)} (was {value_text(old)})" for key, (old, new) in changes.items()]
    _say(console, f"from now on: {', '.join(told)}; kept in {folder.spec_path}")


def _run(
    session: SearchSession,
    spec: SearchSpec,
    place: RayPlace,
    settings: BackendSettings,
    started_at: float,
    console: Console,
    lock: DatabaseLock | None,
) -> tuple[Timing, int]:
    needed = spec.resources if place.is_cluster else None  # here, trials fit: it was looked at before
    nodes = NodeWatch(resources=needed, say=lambda text: _say(console, text))
    watches: list[Watch] = [nodes, *([] if lock is None else [lock])]
    searcher = RaySearcher(
        session.proposer,
        settings,
        slots=place.slots,
        folder=place.folder,
        watches=watches,
        do_workers_meet=not place.is_cluster,  # they have no folder to meet in, and longer trials
        max_failures=spec.limits.max_failures,
    )
    reason = FAILED
    interrupts = Interrupts()
    try:
        with interrupts, session.progress:
            session.begin(started_at)
            if not session.proposer.is_finished:
                run_items(
                    searcher,
                    slots=place.slots,
                    resources={"cpu": spec.resources.cpus_per_trial, "gpu": spec.resources.gpus_per_trial},
                    folder=place.folder,
                    max_failures=spec.limits.max_failures,
                    on_death=searcher.note_death,
                    on_step=_all(interrupts.check, searcher.check, searcher.look_ahead),
                )
        reason = FINISHED
    except KeyboardInterrupt:
        reason = INTERRUPTED
        _say(console, "stopping the workers and finishing MLflow ... (Ctrl-C again: at once)")
        raise
    except Exception:
        if searcher.error is not None:
            raise searcher.error from None  # Ray wraps what callbacks raise
        raise
    finally:
        timing, num_untracked = session.close(reason)
    return timing, num_untracked


def _all(*callbacks: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        for callback in callbacks:
            callback()

    return call


def _outcome(
    study: StudyRecords, timing: Timing, num_untracked: int, problem: str | None, console: Console
) -> SearchOutcome:
    counts = {status: sum(record.status is status for record in study.records) for status in TrialStatus}
    if counts[TrialStatus.INFEASIBLE] and counts[TrialStatus.INFEASIBLE] == len(study.records):
        raise InfeasibleBudgetsError(
            f"no proposed configuration can meet its budgets; the last: {study.records[-1].reason}"
        )
    if num_untracked:
        _say(
            console,
            f"{num_untracked} trials are kept but not in MLflow yet ({problem or 'it is slow'}); "
            f"`prunefront resume {study.study}` delivers them",
        )
    return SearchOutcome(
        study=study,
        num_complete=counts[TrialStatus.COMPLETE],
        num_failed=counts[TrialStatus.FAILED],
        num_infeasible=counts[TrialStatus.INFEASIBLE],
        num_untracked=num_untracked,
        timing=timing,
        num_stopped=counts[TrialStatus.STOPPED],
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _describe(spec: SearchSpec, settings: BackendSettings, prepare: Callable[[], object]) -> Facts:
    prepare()
    backend = load_backend(settings)
    backend.sweep()
    return backend.describe(spec.run)
