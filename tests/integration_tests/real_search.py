"""A real search in this process, without Ray: real proposer, study, stages, MLflow and report, small in every way."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console

from search.artifact_address import artifact_address
from search.backend import BackendSettings, load_backend
from search.commands.launch import launch_study
from search.driver import STAGES_BACKEND, SearchOutcome
from search.execution.worker import execute_item
from search.session import FINISHED, INTERRUPTED, SearchSession
from search.spec import SearchSpec, dump_spec
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.tracking.store import create_database

STUDY = "browsed"
SPEC = f"""\
study: {STUDY}
run:
  architecture: {{name: cifar_resnet8, width: 0.5}}
  dataset: {{train_images: 600, test_images: 100, validation_share: 0.35}}
  dense_training: {{epochs: 10, batch_size: 32, learning_rate: 0.1}}
  saliency: {{predictor: {{epochs: 1}}, selector: {{epochs: 1}}}}
  gates: {{steps: 10, num_images: 100}}
  fine_tuning: {{epochs: 2, batch_size: 32, learning_rate: 0.05}}
search:
  budgets.macs: {{low: 0.25, high: 0.9}}
  method: {{choices: [interpretation_steered, l1]}}
first:
  - {{budgets.macs: 0.9, method: l1}}
  - {{budgets.macs: 0.6, method: interpretation_steered}}
  - {{budgets.macs: 0.3, method: l1}}
  - {{budgets.macs: 0.25, method: l1}}
limits: {{trials: 5}}
"""


def launch_real_study(root: Path) -> StudyFolder:
    """Launch the search as ``prunefront launch`` does, but for Ray, and return where its study lies."""
    spec_path = root / "spec.yaml"
    spec_path.write_text(SPEC, encoding="utf-8")
    (root / "results").mkdir()
    create_database(
        root / "results/mlflow.db"
    )  # so that the writer's patience does not depend on the machine
    with redirect_stdout(io.StringIO()):
        launch_study(spec_path, [f"storage.path={root / 'results'}"], engine=run_without_ray)
    return StudyFolder(root / "results", STUDY)


def run_without_ray(
    spec: SearchSpec,
    folder: StudyFolder,
    *,
    resume: bool,
    console: Console,
    prepare: Callable[[], object] = lambda: None,
    num_items: int | None = None,
) -> SearchOutcome:
    """Run every item of a search where the driver is, one after another; after ``num_items`` Ctrl-C is typed."""
    prepare()
    settings = BackendSettings(factory=STAGES_BACKEND, artifacts=artifact_address(spec, folder))
    backend = load_backend(settings)
    backend.sweep()
    if not resume:
        folder.create(dump_spec(spec))
    session = SearchSession(
        spec=spec,
        folder=folder,
        backend=backend,
        facts=backend.describe(spec.run),
        slots=1,
        console=console,
    )
    session.begin(time.time())
    num_done = 0
    while (item := session.proposer.next_item()) is not None:
        if num_done == num_items:
            session.close(INTERRUPTED)
            raise KeyboardInterrupt
        num_done += 1
        outcome = execute_item(item, session.proposer.config_of(item), settings)
        session.proposer.finish_item(item, outcome)
    timing, num_untracked = session.close(FINISHED)
    study = read_study(folder)
    return SearchOutcome(
        study=study,
        num_complete=len(study.records),
        num_failed=0,
        num_infeasible=0,
        num_untracked=num_untracked,
        timing=timing,
    )
