"""The study's log, and the trials in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from pruning_core.errors import StorageError
from search.disk import cut_torn_lines, length_of_whole_lines
from search.doctor.findings import Finding, Patient, numbers
from search.next_steps import command
from search.studies.study import open_search_study

__all__ = ["check_log", "check_trials"]


def check_log(patient: Patient) -> Iterator[Finding]:
    """The log is there, ends with a whole line, and every line can be read; or the database can."""
    if patient.database is None:
        yield from _check_journal(patient)
        return
    try:
        if not patient.snapshot.attributes:
            yield _not_begun(patient, f"the study is not in {patient.database}")
    except StorageError as error:
        yield Finding(problem=str(error), remedy="look whether the database's server runs")


def _check_journal(patient: Patient) -> Iterator[Finding]:
    path = patient.folder.journal_path
    if not path.is_file():
        yield _not_begun(patient, "the log is not there")
        return
    content = path.read_bytes()
    whole = length_of_whole_lines(content)
    if whole < len(content) and not patient.is_driven:
        yield Finding(
            problem=f"the log ends with {len(content) - whole} bytes of a line that was not finished",
            remedy="cuts them off and keeps them in a file beside the log",
            mend=partial(cut_torn_lines, path),
        )
    try:
        _ = patient.snapshot
    except StorageError as error:
        yield Finding(
            problem=str(error),
            remedy="bring back an earlier copy of the file, or take the line out by hand",
        )


def _not_begun(patient: Patient, what: str) -> Finding:
    return Finding(
        problem=f"{what}: the driver was stopped before it began",
        remedy=f"type `{command(patient.folder, 'resume')}`",
        is_note=True,
    )


def check_trials(patient: Patient) -> Iterator[Finding]:
    """Each trial is there once, and is either finished or waits for its turn."""
    snapshot = patient.snapshot
    if snapshot.untold and not patient.is_driven:
        yield Finding(
            problem=f"{numbers(snapshot.untold)}: written down, but the driver was stopped before it said so to Optuna",
            remedy="tells Optuna",
            mend=lambda: open_search_study(patient.folder, patient.spec).adopt(),
        )
    by_key = defaultdict(list)
    for record in snapshot.records:
        by_key[record.trial_key].append(record.number)
    for key, same in by_key.items():
        if len(same) > 1:
            yield Finding(
                problem=f"{numbers(same)} are the same run ({key}), and a run counts once",
                remedy=f"report it, with {patient.database or 'the file study.journal'}",
            )
    waiting = [asked.number for asked, _ in snapshot.started if asked.is_waiting]
    interrupted = [asked.number for asked, _ in snapshot.started if not asked.is_waiting]
    if interrupted and not patient.is_driven:
        yield Finding(
            problem=f"{numbers(interrupted)} began and did not end",
            remedy=f"type `{command(patient.folder, 'resume')}`: they go on after their last finished stage",
            is_note=True,
        )
    if waiting and not patient.is_driven:
        yield Finding(
            problem=f"{numbers(waiting)} reached a rung, and nothing is decided about going on",
            remedy=f"type `{command(patient.folder, 'resume')}`",
            is_note=True,
        )
