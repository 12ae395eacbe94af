"""Recorded runs: what networks of many configurations scored at every rung, in one file.

A file of JSON lines. The first line is the header (``format``, ``command``, ``version``, ``spec``, ``facts``); each
other line is a configuration at a number of epochs: ``values`` (the fields that vary), ``epochs``, ``seconds`` (of the
trial's own stages up to there) and ``scores`` (`NetworkScores`). A configuration has a line for every rung and one for
the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pruning_core.errors import InvalidDataError
from reports.records import NetworkScores, TrialRecord, TrialStatus
from search.disk import storage_errors, write_whole
from search.spec import SearchSpec, dump_spec
from spaces import Value

__all__ = ["RecordedRun", "Recording", "read_recording", "record_study", "write_recording"]

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRun:
    """One configuration. ``scores`` and ``seconds``: by epochs, ascending; the last one is the end of the training."""

    values: Mapping[str, Value]
    scores: Mapping[int, NetworkScores]
    seconds: Mapping[int, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Runs that agree in everything but ``values``, with the ``spec`` of the search that gave them.

    ``command``: what made it. ``facts``: about where it was made.

    Raises:
        InvalidDataError: Fields vary under a condition: such runs have no value for all of them to be compared by.
    """

    spec: SearchSpec
    runs: tuple[RecordedRun, ...]
    command: str
    version: str
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        conditional = ", ".join(f"'search.{name}'" for name in self.spec.space.conditions)
        if conditional:
            raise InvalidDataError(
                f"every field of a recorded search must vary in all configurations, but {conditional} has a 'when'"
            )

    @property
    def epochs(self) -> tuple[int, ...]:
        """At which epochs every run was measured, ascending; the last one is the end."""
        return tuple(self.runs[0].scores)


def record_study(
    spec: SearchSpec,
    records: Iterable[TrialRecord],
    *,
    command: str,
    version: str,
    facts: Mapping[str, Any],
) -> Recording:
    """Make a recording of the complete trials of a study that measured every rung.

    Raises:
        InvalidDataError: No trial is complete, or not every one was measured at every rung.
    """
    complete = [record for record in records if record.status is TrialStatus.COMPLETE]
    if not complete:
        raise InvalidDataError("a recording needs at least one complete trial, but the study has none")
    runs = []
    for record in sorted(complete, key=lambda record: record.number):
        measured = tuple(rung.epochs for rung in record.rungs)
        if measured != spec.rungs:
            raise InvalidDataError(
                f"every trial of a recording must be measured at epochs {list(spec.rungs)}, but trial {record.number} "
                f"was at {list(measured)}; search with halving.rule=all"
            )
        assert record.scores is not None
        end = spec.run.fine_tuning.epochs
        runs.append(
            RecordedRun(
                values=record.varied,
                scores={**{rung.epochs: rung.scores for rung in record.rungs}, end: record.scores},
                seconds={**{rung.epochs: rung.seconds for rung in record.rungs}, end: record.seconds},
            )
        )
    return Recording(spec=spec, runs=tuple(runs), command=command, version=version, facts=facts)


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording to a file, which is replaced as a whole.

    Raises:
        StorageError: The file cannot be written.
    """
    header = {
        "format": FORMAT,
        "command": recording.command,
        "version": recording.version,
        "facts": dict(recording.facts),
        "spec": yaml.safe_load(dump_spec(recording.spec)),
    }
    rows = [
        {
            "values": dict(run.values),
            "epochs": epochs,
            "seconds": run.seconds[epochs],
            "scores": scores.model_dump(mode="json", exclude_none=True),
        }
        for run in recording.runs
        for epochs, scores in run.scores.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage_errors(path.parent):
        write_whole(path, "".join(json.dumps(line) + "\n" for line in (header, *rows)))


def read_recording(path: Path) -> Recording:
    """Read what `write_recording` wrote.

    Raises:
        InvalidDataError: It is no recording, or of another format, or some run lacks a rung.
    """
    try:
        header, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        found = header["format"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _unreadable(path, error) from None
    if found != FORMAT:
        raise InvalidDataError(
            f"{path}: must be a recording of format {FORMAT}, but is of format {found}; record it again"
        )
    try:
        recording = Recording(
            spec=SearchSpec.model_validate(header["spec"]),
            runs=_runs(rows),
            command=header["command"],
            version=header["version"],
            facts=header["facts"],
        )
    except (ValidationError, LookupError, TypeError) as error:
        raise _unreadable(path, error) from None
    _check_runs(recording, path)
    return recording


def _unreadable(path: Path, error: Exception) -> InvalidDataError:
    text = " ".join(str(error).split())
    return InvalidDataError(f"{path}: must be a recording that can be read, but is not: {text}")


def _runs(rows: Iterable[Mapping[str, Any]]) -> tuple[RecordedRun, ...]:
    by_values: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_values.setdefault(json.dumps(row["values"], sort_keys=True), []).append(row)
    return tuple(
        RecordedRun(
            values=parts[0]["values"],
            scores={part["epochs"]: NetworkScores(**part["scores"]) for part in parts},
            seconds={part["epochs"]: part["seconds"] for part in parts},
        )
        for parts in (sorted(group, key=lambda row: row["epochs"]) for group in by_values.values())
    )


def _check_runs(recording: Recording, path: Path) -> None:
    wanted = (*recording.spec.rungs, recording.spec.run.fine_tuning.epochs)
    for run in recording.runs:
        if tuple(run.scores) != wanted:
            raise InvalidDataError(
                f"{path}: every configuration must have epochs {list(wanted)}, but {dict(run.values)} has "
                f"{list(run.scores)}"
            )
    if not recording.runs:
        raise InvalidDataError(f"{path}: must hold at least one configuration, but holds none")
