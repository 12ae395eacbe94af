"""Studies on disk, as a driver leaves them, without running one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.records import TrialRecord, TrialStatus
from search.spec import SearchSpec, dump_spec, load_spec
from search.studies.folder import StudyFolder
from search.studies.study import open_search_study
from tests.reports_tests.synthetic import START

SPEC = """\
study: tiny
run: {architecture: {name: cifar_resnet20}}
search:
  budgets.macs: {low: 0.3, high: 0.8}
  saliency.num_basis: {choices: [1, 2, 4]}
limits: {trials: 12}
"""


def write_spec(folder: Path, text: str = SPEC) -> Path:
    """Write a spec, and return where."""
    path = folder / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def store_study(root: Path, records: Sequence[TrialRecord], *, text: str = SPEC) -> StudyFolder:
    """Write a study with these trials, whose numbers must be 0, 1, 2 and so on.

    Those that are RUNNING are left as a killed driver leaves them.
    """
    spec = load_spec(write_spec(root, text))
    folder = StudyFolder(root / "results", spec.study)
    folder.create(dump_spec(spec))
    tell(folder, spec, records)
    return folder


def tell(folder: StudyFolder, spec: SearchSpec, records: Sequence[TrialRecord]) -> None:
    """Write the journal of a study with these trials."""
    study = open_search_study(folder, spec)
    study.note(
        {"id": "0123456789abcdef", "created_at": START, "version": "0.1.0", "machine": {}, "facts": {}}
    )
    for record in records:
        asked = study.ask()
        assert asked.number == record.number
        study.mark_started(asked.number, record.trial_key)
        if record.status is not TrialStatus.RUNNING:
            study.tell(record.model_copy(update={"study": spec.study}))
