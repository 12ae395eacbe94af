"""``prunefront doctor``: find what is wrong with a study, on disk and in MLflow, and mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import typer

from pruning_core.errors import PrunefrontError, StorageError
from search.database.lock import hold_in_database
from search.doctor import Finding, Patient, examine
from search.doctor.mlflow_checks import rebuild_mlflow
from search.next_steps import command, open_study
from search.plug_in_path import add_plug_in_path
from search.studies.lock import hold_study

__all__ = ["examine_study"]

_UNHEALTHY = 1


def examine_study(study: str, storage: Path, *, mend: bool, rebuild: bool, as_json: bool) -> None:
    """Examine a study, mend what can be mended if asked for, and print what was found.

    Args:
        study: Its name.
        storage: Results folder.
        mend: Change what is wrong. Without it nothing is written.
        rebuild: Delete the study's runs in MLflow and write them anew.
        as_json: Print JSON and nothing else.

    Raises:
        PrunefrontError: There is no such study, or a driver works on it and something is to be written.
        typer.Exit: With 1 if something is wrong and not mended.
    """
    folder = open_study(study, storage)
    patient = Patient(folder)
    add_plug_in_path(patient.spec.plug_ins)
    mended: list[Finding] = []
    if mend or rebuild:
        with hold_in_database(patient.database, study), hold_study(folder):
            if rebuild:
                typer.echo(f"MLflow: {rebuild_mlflow(patient)} trials written anew", err=as_json)
                if folder.report_path.exists():
                    typer.echo(
                        f"Its report is logged there again by: {command(folder, 'report')}", err=as_json
                    )
            found = examine(patient)
            if mend:
                mended = _mend_all(patient, found)
                found = examine(patient)
    else:
        found = examine(patient)
    typer.echo(_as_json(study, found, mended) if as_json else "\n".join(_lines(patient, found, mended)))
    if any(not finding.is_note for finding in _all(found)):
        raise typer.Exit(_UNHEALTHY)


def _mend_all(patient: Patient, found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Mend what can be mended, most basic things first; a failure ends it with the reason."""
    mended = []
    for finding in _all(found):
        if finding.mend is not None:
            try:
                finding.mend()
            except PrunefrontError as error:
                raise StorageError(f"{finding.problem}: it was to be mended, but {error}") from error
            mended.append(finding)
            patient.forget()
    return mended


def _all(found: Mapping[str, Sequence[Finding]]) -> Iterator[Finding]:
    for findings in found.values():
        yield from findings


def _lines(patient: Patient, found: Mapping[str, Sequence[Finding]], mended: Sequence[Finding]) -> list[str]:
    lines = [f"mended: {finding.problem}" for finding in mended]
    wrong = [finding for finding in _all(found) if not finding.is_note]
    for name, findings in found.items():
        for finding in findings:
            kind = "note" if finding.is_note else "problem"
            action = "--mend " if finding.mend is not None else ""
            lines += [f"{kind} ({name}): {finding.problem}", f"  {action}{finding.remedy}"]
    if patient.is_driven:
        lines.append("A driver works on the study: MLflow and unfinished trials were not looked at.")
    if not wrong:
        return [*lines, f"study {patient.folder.study}: {', '.join(found)} are in order"]
    if any(finding.mend is not None for finding in wrong):
        lines.append(f"Next: {command(patient.folder, 'doctor', '--mend')}")
    return lines


def _as_json(study: str, found: Mapping[str, Sequence[Finding]], mended: Sequence[Finding]) -> str:
    plain = {
        "study": study,
        "is_healthy": all(finding.is_note for finding in _all(found)),
        "mended": [finding.problem for finding in mended],
        "findings": [
            {
                "check": name,
                "kind": "note" if finding.is_note else "problem",
                "problem": finding.problem,
                "remedy": finding.remedy,
                "can_be_mended": finding.mend is not None,
            }
            for name, findings in found.items()
            for finding in findings
        ],
    }
    return json.dumps(plain, indent=2)
