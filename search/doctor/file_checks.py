"""Files beside the log: artifacts of finished stages, picks, and what killed processes left lying about."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pruning_core.artifact_places import open_place
from pruning_core.config import load_config
from reports.records import TrialRecord, TrialStatus
from search.artifact_address import artifact_address
from search.backend import STAGES_BACKEND, backend_settings, load_backend, run_with_stages
from search.doctor.findings import Finding, Patient, numbers
from search.driver_presence import process_lives
from search.next_steps import command
from search.pick_book import PICKS_FILE, read_picks
from search.studies.folder import StudyFolder

__all__ = ["check_artifacts", "check_leftovers", "check_picks"]

_PARTIAL_FILE = re.compile(r"\..+\.(\d+)")


def check_artifacts(patient: Patient) -> Iterator[Finding]:
    """Every finished stage of a complete trial is in the store, whole."""
    place = open_place(artifact_address(patient.spec, patient.folder))
    users: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in patient.finished:
        if record.status is TrialStatus.COMPLETE:
            for key in record.artifact_keys.values():
                users[key].append(record)
    gone: dict[int, TrialRecord] = {}
    present = place.among(users)
    spoilt = place.unreadable(present)
    for key, records in users.items():
        if key in present and key not in spoilt:
            continue
        gone |= {record.number: record for record in records}
        if key in spoilt:
            yield Finding(
                problem=f"artifact {key} cannot be read ({spoilt[key]})",
                remedy="takes it out of the store",
                mend=partial(place.remove, key),
            )
    if gone:
        yield Finding(
            problem=f"{numbers(gone)}: stages are not in the store any more; scores stand, networks cannot be exported",
            remedy="runs what is missing again, which takes as long as it did",
            mend=partial(_run_again, patient, list(gone.values())),
        )


def check_picks(patient: Patient) -> Iterator[Finding]:
    """What was picked is a complete trial of this study."""
    pick = command(patient.folder, "pick", "--knee")
    try:
        picks = read_picks(patient.folder)
    except ValueError:
        yield Finding(
            problem=f"{PICKS_FILE} cannot be read", remedy=f"pick anew: `{pick}` begins the file again"
        )
        return
    complete = {record.number for record in patient.finished if record.status is TrialStatus.COMPLETE}
    if picks and picks[0]["trial"] not in complete:
        yield Finding(
            problem=f"trial {picks[0]['trial']} was picked, but is no complete trial of this study",
            remedy=f"pick anew: `{pick}`",
        )


def check_leftovers(patient: Patient) -> Iterator[Finding]:
    """No half-written files of processes that are gone."""
    left = _abandoned_files(patient.folder)
    if left:
        names = ", ".join(path.name for path in left)
        yield Finding(
            problem=f"half-written files of processes that are gone: {names}",
            remedy="deletes them",
            mend=partial(_delete, left),
        )
    place = open_place(artifact_address(patient.spec, patient.folder))
    abandoned = place.abandoned()
    if abandoned:
        yield Finding(
            problem=f"{len(abandoned)} half-written artifacts that nobody has touched for a day",
            remedy="deletes them",
            mend=place.sweep,
        )


def _run_again(patient: Patient, records: Sequence[TrialRecord]) -> None:
    backend = load_backend(backend_settings(patient.spec, patient.folder, STAGES_BACKEND))
    for record in records:
        run_with_stages(load_config(record.config), backend)


def _delete(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _abandoned_files(folder: StudyFolder) -> list[Path]:
    found = []
    for path in folder.path.iterdir():
        match = _PARTIAL_FILE.fullmatch(path.name)
        if match and path.is_file() and int(match[1]) != os.getpid() and not process_lives(int(match[1])):
            found.append(path)
    return sorted(found)
