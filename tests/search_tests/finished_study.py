"""A study whose one network a real, tiny pruning run made, without Ray."""

from __future__ import annotations

from pathlib import Path

from pruning_core.config import load_config
from pruning_core.data import load_data
from pruning_core.stages import ArtifactStore, run_trial
from reports.records import NetworkScores, TrialRecord, TrialStatus
from search.studies.folder import StudyFolder
from tests.reports_tests.synthetic import START, make_record
from tests.search_tests.stored_studies import store_study

CONFIG = load_config(
    {
        "method": "l1",
        "dataset": {"train_images": 120, "test_images": 60},
        "dense_training": {"epochs": 1},
        "fine_tuning": {"epochs": 1},
        "budgets": {"macs": 0.5},
    }
)


def make_finished_study(root: Path) -> StudyFolder:
    """Write the study ``tiny`` with a complete trial (0), its artifacts, and a trial that failed (1)."""
    store = ArtifactStore(root / "results/artifacts")
    result = run_trial(CONFIG, data=load_data(CONFIG.dataset), store=store).to_plain()
    scores = NetworkScores(**{name: result[name] for name in NetworkScores.model_fields if name in result})
    complete = TrialRecord(
        study="tiny",
        number=0,
        trial_key=result["trial_key"],
        status=TrialStatus.COMPLETE,
        method="l1",
        seed=0,
        config=CONFIG.model_dump(mode="json"),
        varied={"budgets.macs": 0.5},
        scores=scores,
        finished_at=START + 1,
    )
    return store_study(root, [complete, make_record(1, status=TrialStatus.FAILED)])
