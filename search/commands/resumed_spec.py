"""The spec that a study goes on with: as it was launched, but for limits and resources that are changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pruning_core.errors import InvalidSettingsError
from search.overrides import CHANGEABLE, find_changes, value_text
from search.session import BATCH
from search.spec import SearchSpec, load_spec
from search.spec_settings import COUNTED
from search.studies.folder import StudyFolder
from search.studies.reading import read_attributes, read_snapshot
from search.studies.snapshot import RECORD, STARTED_AT
from search.studies.storage import read_storage
from search.timeline import read_timeline, session_seconds

__all__ = ["load_resumed_spec"]

_CHANGE_BATCHES = ("limits.trials", "limits.hours")


def load_resumed_spec(folder: StudyFolder, overrides: Sequence[str]) -> SearchSpec:
    """Read a study's spec and change its limits and resources; nothing is written.

    Raises:
        InvalidSettingsError: An override is malformed, changes what trials are, or asks for less than is done already;
            or the search is reproducible and would not go on as if it had been launched so.
        StorageError: The study cannot be read.
    """
    known = load_spec(folder.spec_path)
    if not overrides:
        return known
    spec = load_spec(folder.spec_path, overrides)
    changes = find_changes(known.model_dump(mode="json"), spec.model_dump(mode="json"))
    _check_changeable(known, changes)
    if "limits.trials" in changes:
        _check_trials(folder, spec)
    if "limits.hours" in changes:
        _check_hours(folder, spec)
    if known.reproducible and not changes.keys().isdisjoint(_CHANGE_BATCHES):
        _check_batches(folder, known)
    return spec


def _check_changeable(known: SearchSpec, changes: Mapping[str, tuple[Any, Any]]) -> None:
    sections: Sequence[str] = CHANGEABLE
    why = "for the trials of a study to be comparable"
    if known.reproducible:
        sections, why = ["limits"], "for the trials of a reproducible search to be the same again"
    for key, (old, new) in changes.items():
        if key.partition(".")[0] not in sections:
            raise InvalidSettingsError(
                f"command line: '{key}' must stay {value_text(old)} {why}, but got {value_text(new)}; resume may "
                f"change {', '.join(_names(known, sections))}. Launch a new study for the rest: study=NAME, and "
                f"sampler.learn_from=[{known.study}] to start from what this one found"
            )


def _check_trials(folder: StudyFolder, spec: SearchSpec) -> None:
    snapshot = read_snapshot(folder)
    num_done = sum(record.status in COUNTED for record in snapshot.records)
    num_begun = len(snapshot.started)
    if spec.limits.trials < num_done + num_begun:
        begun = f" and {num_begun} begun" if num_begun else ""
        raise InvalidSettingsError(
            f"command line: 'limits.trials' must be at least {num_done + num_begun}, because {num_done} are done "
            f"already{begun}, but got {spec.limits.trials}"
        )


def _check_hours(folder: StudyFolder, spec: SearchSpec) -> None:
    spent = _hours_spent(folder)
    if spec.limits.hours is not None and spec.limits.hours <= spent:
        raise InvalidSettingsError(
            f"command line: 'limits.hours' must be more than the {spent:.3g} that have passed already, in all sessions "
            f"of the study together, but got {spec.limits.hours:g}"
        )


def _check_batches(folder: StudyFolder, known: SearchSpec) -> None:
    """Refuse to go on where a limit has cut a batch, whose rest would be proposed after its first trials ended."""
    batch, storage = read_attributes(folder).get(BATCH), read_storage(folder)
    if batch is None or storage is None:
        return
    trials = optuna.load_study(study_name=folder.study, storage=storage).get_trials(deepcopy=False)
    asked = [trial for trial in trials if trial.state is not TrialState.WAITING]
    is_late = known.limits.hours is not None and known.limits.hours <= _hours_spent(folder)
    if is_late or _is_cut(asked[len(asked) // batch * batch :]):
        raise InvalidSettingsError(
            f"command line: a reproducible search must have whole batches of {batch} trials to go on as if it had been "
            f"launched so, but {'limits.hours' if is_late else 'limits.trials'} has cut one; launch it anew with "
            f"study=NAME and resources.slots={batch}: the same trials come first, and what they finished is taken from "
            "the artifact store"
        )


def _is_cut(rest: Collection[FrozenTrial]) -> bool:
    """Tell whether trials of a batch that is not whole have run; if none has, the driver died as it proposed them."""
    return any(STARTED_AT in trial.user_attrs or _counts(trial) for trial in rest)


def _counts(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(RECORD, {}).get("status") in COUNTED


def _hours_spent(folder: StudyFolder) -> float:
    return session_seconds(read_timeline(folder.timeline_path)) / 3600


def _names(spec: SearchSpec, sections: Sequence[str]) -> list[str]:
    return [f"{section}.{name}" for section in sections for name in type(getattr(spec, section)).model_fields]
