"""``prunefront status``: where a study stands; reads only, so it can be asked at any time."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from reports.fronts import find_front
from search.driver_presence import is_driven
from search.next_steps import command, open_study
from search.spec import load_spec
from search.studies.records import read_study
from search.studies.status import StudyStatus, count_wanted, status_json, status_lines
from search.timeline import why_ended_early

__all__ = ["show_status"]


def show_status(study: str, storage: Path, *, as_json: bool) -> None:
    """Print where a study stands.

    Raises:
        PrunefrontError: There is no such study, or it cannot be read.
    """
    folder = open_study(study, storage)
    spec = load_spec(folder.spec_path)
    status = StudyStatus(
        front=find_front(read_study(folder, with_tests=False)),
        num_wanted=count_wanted(spec),
        is_running=is_driven(folder),
        resume_command=command(folder, "resume"),
        why_early=why_ended_early(folder.timeline_path),
    )
    typer.echo(json.dumps(status_json(status), indent=2) if as_json else "\n".join(status_lines(status)))
