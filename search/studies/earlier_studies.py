"""Finished trials of earlier studies that samplers may learn from.

A trial can be learned from if it is a configuration of this search: all fields that vary here have values that they may
have here, and all others are as this run has them. Which of them varied there does not matter, nor do the objectives,
as long as what this search aims at was measured. Such trials are seen by samplers only: they are no trials of
this search, count towards none of its limits and are never on its front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InvalidSettingsError
from reports.formats import counted
from reports.objectives import OBJECTIVES
from reports.records import TrialRecord, TrialStatus
from search.spec import SearchSpec
from search.studies.earlier_trials import EarlierTrial
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from spaces import Value, field_names, plain_value

__all__ = ["EarlierTrials", "read_earlier_trials"]

_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrials:
    """What was found. ``notes``: a line per study: how many of its trials, and why not the others."""

    trials: tuple[EarlierTrial, ...] = ()
    notes: tuple[str, ...] = ()


def read_earlier_trials(spec: SearchSpec) -> EarlierTrials:
    """Read what the studies that a spec names in ``sampler.learn_from`` have for this search.

    Raises:
        InvalidSettingsError: A study has no trial that is a configuration of this search; says what differs.
        StorageError: There is no such study in the results folder.
    """
    trials: list[EarlierTrial] = []
    notes = []
    for name in spec.sampler.learn_from:
        study = read_study(StudyFolder(Path(spec.storage.path), name), with_tests=False)
        found, differences = _usable(spec, study.records)
        num_finished = sum(record.status is TrialStatus.COMPLETE for record in study.records)
        if not found:
            raise InvalidSettingsError(
                f"'sampler.learn_from': study {name!r} must have trials that are configurations of this search, but "
                f"it has none among {num_finished} that are complete{_why(differences)}"
            )
        trials += found
        notes.append(f"{counted(len(found), 'trial')} of {num_finished} of {name}{_why(differences)}")
    return EarlierTrials(trials=tuple(trials), notes=tuple(notes))


def _usable(spec: SearchSpec, records: Sequence[TrialRecord]) -> tuple[list[EarlierTrial], Counter[str]]:
    """Return what can be learned from, and how often which field stood in the way."""
    found: list[EarlierTrial] = []
    differences: Counter[str] = Counter()
    for record in records:
        if record.status is not TrialStatus.COMPLETE or record.scores is None:
            continue
        values, differing = _values_here(spec, load_config(record.config))
        differing += [name for name in spec.objectives if OBJECTIVES[name].value(record.scores) is None]
        if differing:
            differences.update(differing)
            continue
        scores = [OBJECTIVES[name].value(record.scores) for name in spec.objectives]
        limits = {one.quantity: one.violation(record.scores) for one in spec.parsed_constraints}
        found.append(
            EarlierTrial(
                values=values,
                scores=tuple(float(score) for score in scores if score is not None),
                constraints={"budgets": 0.0, **limits},
            )
        )
    return found, differences


def _values_here(spec: SearchSpec, config: PruningConfig) -> tuple[dict[str, Value], list[str]]:
    """Return a run's values of the fields that vary here, and the fields that are not as they may be here."""
    values: dict[str, Value] = {}
    for name in spec.space.distributions:
        if not spec.space.exists(name, values):
            continue
        value = cast(Value, plain_value(config, name))
        try:
            spec.space.check_point({**values, name: value})
        except InvalidSettingsError:
            return values, [name]
        values[name] = value
    ours = spec.make_config(values)
    return values, [name for name in field_names() if plain_value(ours, name) != plain_value(config, name)]


def _why(differences: Counter[str]) -> str:
    if not differences:
        return ""
    named = [f"{name} ({count})" for name, count in differences.most_common(_MOST_NAMED)]
    more = len(differences) - len(named)
    return f"; others differ in {', '.join(named)}{f' and {more} more' if more else ''}"
