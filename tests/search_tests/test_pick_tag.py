"""The pick in MLflow: the tag of one child run, on the move."""

from __future__ import annotations

import json

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from pruning_core.errors import StorageError
from reports.records import TestScores, TrialRecord
from search.cli import app
from search.pick_book import read_picks
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.tracking.pick_tag import tag_pick
from search.tracking.projection import MlflowProjection
from search.tracking.writer import address_of
from tests.reports_tests.synthetic import START, staircase
from tests.search_tests.stored_studies import store_study

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own use of sqlalchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

TEST = TestScores(num_images=200, num_correct=180, num_correct_dense=190)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of four trials that is in MLflow."""
    folder = store_study(tmp_path_factory.mktemp("tracked"), staircase(4))
    attributes = {"id": "0123456789abcdef", "created_at": START}
    address = address_of(load_spec(folder.spec_path), folder, attributes)
    MlflowProjection(address, {}).sync(read_study(folder), "FINISHED")
    return folder


def runs(folder: StudyFolder) -> tuple[Run, dict[int, Run]]:
    """Return the study's run and those of its trials."""
    client = MlflowClient(tracking_uri=folder.mlflow_uri)
    noted = json.loads(folder.mlflow_runs_path.read_text())
    children = {int(number): client.get_run(run_id) for number, run_id in noted["runs"].items()}
    return client.get_run(noted["parent"]), children


def tag(folder: StudyFolder, number: int, rule: str, test: TestScores | None = None) -> None:
    record = next(one for one in read_study(folder).records if one.number == number)
    tag_pick(record.model_copy(update={"test": test}), rule, load_spec(folder.spec_path), folder)


def picked(folder: StudyFolder) -> list[int]:
    _, children = runs(folder)
    return [number for number, run in children.items() if run.data.tags.get("picked") == "true"]


def test_the_tag_moves_with_the_pick_and_the_study_says_which_trial(tracked: StudyFolder) -> None:
    tag(tracked, 1, "knee")
    assert picked(tracked) == [1]
    tag(tracked, 3, "cheapest")
    assert picked(tracked) == [3]
    parent, children = runs(tracked)
    assert (parent.data.tags["picked.trial"], parent.data.tags["picked.by"]) == ("3", "cheapest")
    assert "picked" not in parent.data.tags
    assert "picked" not in children[1].data.tags
    assert (parent.info.status, children[3].info.status) == ("FINISHED", "FINISHED")


def test_test_accuracies_become_metrics_of_the_picked_run_once(tracked: StudyFolder) -> None:
    for _ in range(2):
        tag(tracked, 2, "knee", TEST)
    client = MlflowClient(tracking_uri=tracked.mlflow_uri)
    _, children = runs(tracked)
    run = children[2]
    assert (run.data.metrics["test_accuracy"], run.data.metrics["test_accuracy_dense"]) == (0.9, 0.95)
    (point,) = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert point.timestamp == run.info.end_time
    assert "test_accuracy" not in children[0].data.metrics


def test_a_repeated_pick_writes_nothing(tracked: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    tag(tracked, 2, "knee", TEST)
    written: list[str] = []
    for name in ("log_batch", "delete_tag", "set_tag"):
        monkeypatch.setattr(MlflowClient, name, lambda *_, name=name, **__: written.append(name))
    tag(tracked, 2, "knee", TEST)
    assert written == []


def test_a_trial_without_a_run_is_named(tracked: StudyFolder) -> None:
    record: TrialRecord = staircase(6)[5]
    with pytest.raises(
        StorageError, match="trial 5 of study 'tiny' must have a run in MLflow, but has none yet"
    ):
        tag_pick(record, "knee", load_spec(tracked.spec_path), tracked)


def test_the_command_tags_what_it_picks_and_remembers_that_it_did(
    tracked: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pick(*options: str) -> str:
        result = CliRunner().invoke(
            app, ["pick", "tiny", "--storage", str(tracked.root), "--no-test", *options]
        )
        assert result.exit_code == 0, result.output
        return result.stderr

    assert pick("--cheapest") == ""
    assert picked(tracked) == [0]
    assert read_picks(tracked)[0]["mlflow"]["rule"] == "cheapest"
    monkeypatch.setattr("search.tracking.pick_tag.tag_pick", None)  # would fail if it was called
    assert pick("--cheapest") == ""
    monkeypatch.undo()
    assert pick("--max-flops", "20%") == ""  # another trial, and back again
    assert picked(tracked) == [1]
    assert pick("--cheapest") == ""
    assert picked(tracked) == [0]


def test_an_mlflow_that_cannot_be_reached_is_a_warning_and_tried_again_next_time(
    tracked: StudyFolder,
) -> None:
    text = tracked.spec_path.read_text()
    tracked.spec_path.write_text(text.replace("mlflow: null", "mlflow: http://127.0.0.1:9"))
    line = ["pick", "tiny", "--storage", str(tracked.root), "--no-test", "--knee"]
    try:
        result = CliRunner().invoke(app, line)
    finally:
        tracked.spec_path.write_text(text)
    assert result.exit_code == 0
    assert result.stderr.startswith("the pick stands, but is not in MLflow (")
    assert result.stderr.endswith("); the same command tries again\n")
    assert len(result.stderr.splitlines()) == 1
    assert CliRunner().invoke(app, line).stderr == ""
    assert picked(tracked) == [3]
