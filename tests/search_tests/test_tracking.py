"""The MLflow projection against a real sqlite store; one store for all tests, one experiment for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from pruning_core.errors import StorageError
from reports.fronts import find_front, front_ranks, hypervolume, scores_of
from reports.records import StudyRecords, TrialStatus, from_mlflow
from search.studies.study import open_search_study
from search.tracking.projection import MlflowProjection, log_report
from search.tracking.view import SHARED_VIEW
from search.tracking.writer import StudyAddress
from tests.reports_tests.synthetic import (
    DENSE_CORRECT,
    DENSE_MACS,
    DENSE_PARAMS,
    NUM_IMAGES,
    make_study,
)
from tests.search_tests.mlflow_stores import CREATED_AT, make_store, place_in
from tests.search_tests.synthetic_search import make_folder, make_spec

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own use of sqlalchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ALL_STATUSES = (TrialStatus.COMPLETE, TrialStatus.COMPLETE, TrialStatus.FAILED, TrialStatus.INFEASIBLE)
FACTS = {
    "dataset": "digits",
    "dataset.fingerprint": "0123456789abcdef" * 4,
    "dataset.num_train": 935,
    "dataset.num_validation": 503,
    "architecture": "cifar_resnet20",
    "dense.macs": DENSE_MACS,
    "dense.params": DENSE_PARAMS,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, which takes seconds to create."""
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def address(store: Path, request: pytest.FixtureRequest) -> StudyAddress:
    """An experiment of the test's own."""
    return place_in(store, request.node.name)


class Reader:
    """What a user sees in MLflow."""

    def __init__(self, address: StudyAddress) -> None:
        self.client = MlflowClient(tracking_uri=address.uri)
        experiment = self.client.get_experiment_by_name(address.study)
        assert experiment is not None
        runs = list(self.client.search_runs([experiment.experiment_id]))
        self.children: dict[int, Run] = {}
        self.parents: list[Run] = []
        for run in runs:
            if "mlflow.parentRunId" in run.data.tags:
                number = int(run.data.tags["trial.number"])
                assert number not in self.children, "a trial is there twice"
                self.children[number] = run
            else:
                self.parents.append(run)
        (self.parent,) = self.parents

    def history(self, run: Run, name: str) -> list[Metric]:
        return list(self.client.get_metric_history(run.info.run_id, name))

    def record_text(self, run: Run) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, "record.json")).read_text()


def first(study: StudyRecords, num_trials: int) -> StudyRecords:
    return study.model_copy(update={"records": study.records[:num_trials]})


def test_every_trial_is_one_child_run_that_reads_back_as_its_record(address: StudyAddress) -> None:
    study = make_study(8, statuses=ALL_STATUSES)
    MlflowProjection(address, FACTS).sync(study, "FINISHED")
    seen = Reader(address)
    assert sorted(seen.children) == list(range(8))
    for record in study.records:
        run = seen.children[record.number]
        text = seen.record_text(run)
        assert from_mlflow(run.data.params, run.data.metrics, run.data.tags, text) == record
        assert set(run.data.params) == set(record.varied)
        assert record.started_at is not None
        assert record.finished_at is not None
        assert run.info.start_time == int(record.started_at * 1000)
        assert run.info.end_time == int(record.finished_at * 1000)
        assert run.data.tags["mlflow.parentRunId"] == seen.parent.info.run_id
    statuses = {study.records[number].status: run.info.status for number, run in seen.children.items()}
    assert statuses == {"complete": "FINISHED", "failed": "FAILED", "infeasible": "KILLED"}


def test_writing_twice_adds_nothing(address: StudyAddress) -> None:
    study = make_study(6, statuses=ALL_STATUSES)
    projection = MlflowProjection(address, FACTS)
    projection.sync(study, "FINISHED")
    before = Reader(address)
    projection.sync(study, "FINISHED")
    MlflowProjection(address, FACTS).sync(study, "FINISHED")
    after = Reader(address)
    assert {n: run.info.run_id for n, run in after.children.items()} == {
        n: run.info.run_id for n, run in before.children.items()
    }
    for run in [after.parent, *after.children.values()]:
        for name in run.data.metrics:
            assert len(after.history(run, name)) == len(before.history(run, name))


@pytest.mark.parametrize("num_before", [0, 3])
def test_a_writer_that_died_anywhere_is_completed_by_the_next(
    address: StudyAddress, num_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(5)
    projection = MlflowProjection(address, FACTS)
    projection.sync(first(study, num_before))
    calls = ["create_run", "log_batch", "log_text", "set_terminated"]
    for name in calls:  # each attempt gets one call further
        with monkeypatch.context() as broken:
            broken.setattr(MlflowClient, name, _refuse)
            with pytest.raises(ConnectionError):
                MlflowProjection(address, FACTS).sync(study)
    MlflowProjection(address, FACTS).sync(study, "FINISHED")
    seen = Reader(address)
    assert sorted(seen.children) == list(range(5))
    assert {run.info.status for run in seen.children.values()} == {"FINISHED"}
    assert {len(seen.history(run, "accuracy")) for run in seen.children.values()} == {1}
    assert len(seen.history(seen.parent, "hypervolume")) == 5


def _refuse(*_: object, **__: object) -> None:
    raise ConnectionError("the server is gone")


def test_the_front_is_tagged_and_kept_current(address: StudyAddress) -> None:
    study = make_study(12)
    projection = MlflowProjection(address, FACTS)
    for num_trials in (4, 8):
        part = first(study, num_trials)
        projection.sync(part)
        assert _front_tags(Reader(address)) == {record.number for record in find_front(part).members}
    projection.sync(study, "FINISHED")
    seen = Reader(address)
    assert _front_tags(seen) == {record.number for record in find_front(study).members}
    ranks = {number: int(run.data.tags["pareto.rank"]) for number, run in seen.children.items()}
    assert ranks == front_ranks(study)


def test_a_resumed_search_takes_members_off_the_front(address: StudyAddress) -> None:
    study = make_study(12)
    MlflowProjection(address, FACTS).sync(first(study, 3), "KILLED")
    MlflowProjection(address, FACTS).sync(study)
    assert _front_tags(Reader(address)) == {record.number for record in find_front(study).members}


def _front_tags(seen: Reader) -> set[int]:
    return {number for number, run in seen.children.items() if run.data.tags["pareto.front"] == "true"}


def test_the_parent_carries_facts_and_the_front_s_history(address: StudyAddress) -> None:
    study = make_study(6)
    projection = MlflowProjection(address, FACTS)
    for num_trials in range(1, 7):
        projection.sync(first(study, num_trials))
    seen = Reader(address)
    assert seen.parent.data.tags["dense.macs"] == str(DENSE_MACS)
    assert seen.parent.info.status == "RUNNING"
    points = seen.history(seen.parent, "hypervolume")
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert [point.value for point in points] == pytest.approx(
        [hypervolume(study.records[:number], study.objectives) for number in range(1, 7)]
    )
    assert [point.value for point in seen.history(seen.parent, "front_size")][-1] == len(
        find_front(study).points
    )
    projection.sync(study, "KILLED")
    seen = Reader(address)
    assert seen.parent.info.status == "KILLED"
    assert seen.parent.info.start_time == int(CREATED_AT * 1000)
    assert seen.parent.info.end_time == int(study.updated_at * 1000)
    assert "tags.`pareto.front` = 'true'" in seen.parent.data.tags["mlflow.note.content"]


def test_data_and_dense_network_are_inputs_of_the_parent(address: StudyAddress) -> None:
    study = make_study(3)
    for _ in range(2):
        MlflowProjection(address, FACTS).sync(study, "FINISHED")
    seen = Reader(address)
    inputs = seen.client.get_run(seen.parent.info.run_id).inputs
    assert inputs is not None
    (data,) = inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "0123456789abcdef0123456789abcdef0123")
    assert json.loads(data.dataset.profile or "") == {
        "fingerprint": "0123456789abcdef" * 4,
        "num_train": 935,
        "num_validation": 503,
    }
    assert {tag.key: tag.value for tag in data.tags} == {"mlflow.data.context": "training + validation"}
    (model,) = inputs.model_inputs
    (dense,) = seen.client.search_logged_models([seen.parent.info.experiment_id])
    assert (dense.model_id, dense.name, dense.status) == (model.model_id, "dense", "READY")
    assert dense.params == {
        "architecture": "cifar_resnet20",
        "macs": str(DENSE_MACS),
        "params": str(DENSE_PARAMS),
    }
    assert dense.metrics is not None
    (metric,) = dense.metrics
    assert (metric.key, metric.value) == ("accuracy_dense", DENSE_CORRECT / NUM_IMAGES)
    assert seen.parent.data.metrics["accuracy_dense"] == DENSE_CORRECT / NUM_IMAGES


def test_the_best_accuracy_within_each_budget_is_a_series(address: StudyAddress) -> None:
    study = make_study(12)
    MlflowProjection(address, FACTS).sync(first(study, 7))
    MlflowProjection(address, FACTS).sync(study, "FINISHED")
    seen = Reader(address)
    scores = [scores_of(record) for record in study.records]
    for percent in (25, 50, 75):
        steps = {
            point.step: point.value
            for point in seen.history(seen.parent, f"best_accuracy_within/macs_{percent}_percent")
        }
        for number in range(1, 13):
            cheap = [one.accuracy for one in scores[:number] if 100 * one.macs <= percent * DENSE_MACS]
            assert steps.get(number) == max(cheap, default=None)
    overall = seen.history(seen.parent, "best_accuracy")
    assert [point.value for point in overall] == [
        max(one.accuracy for one in scores[:number]) for number in range(1, 13)
    ]


def test_studies_of_the_same_name_do_not_mix(address: StudyAddress) -> None:
    study = make_study(2)
    MlflowProjection(address, FACTS).sync(study)
    other = StudyAddress(
        uri=address.uri,
        files_uri=address.files_uri,
        study=address.study,
        study_id="another",
        created_at=CREATED_AT,
        runs_path=address.runs_path,
    )
    projection = MlflowProjection(other, FACTS)
    assert projection.num_written == 0
    projection.sync(make_study(2, seed=1))
    experiment = MlflowClient(tracking_uri=address.uri).get_experiment_by_name(address.study)
    assert experiment is not None
    assert len(MlflowClient(tracking_uri=address.uri).search_runs([experiment.experiment_id])) == 6


def test_run_ids_are_kept_for_links(address: StudyAddress) -> None:
    MlflowProjection(address, FACTS).sync(make_study(3))
    content = json.loads(address.runs_path.read_text())
    seen = Reader(address)
    assert content == {
        "experiment": seen.parent.info.experiment_id,
        "parent": seen.parent.info.run_id,
        "url_base": None,
        "view": SHARED_VIEW,
        "runs": {str(number): run.info.run_id for number, run in seen.children.items()},
    }


def test_the_shared_view_shows_columns_that_the_runs_have(address: StudyAddress) -> None:
    MlflowProjection(address, FACTS).sync(make_study(2))
    seen = Reader(address)
    experiment = seen.client.get_experiment_by_name(address.study)
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.prunefront"])
    data = seen.children[0].data
    there = {f"metrics.`{name}`" for name in data.metrics} | {f"tags.`{name}`" for name in data.tags}
    assert {*view["selectedColumns"], view["orderByKey"]} <= there


def test_a_report_is_attached_to_the_parent(tmp_path: Path, store: Path) -> None:
    spec = make_spec(study="reported")
    folder = make_folder(tmp_path, spec)
    (folder.root / "mlflow.db").write_bytes((store / "mlflow.db").read_bytes())
    open_search_study(folder, spec).note({"id": "reported-id", "created_at": 0.0, "facts": FACTS})
    page = tmp_path / "index.html"
    page.write_text("<html></html>")
    run_id = log_report(folder, [page])
    client = MlflowClient(tracking_uri=folder.mlflow_uri)
    assert [one.path for one in client.list_artifacts(run_id, "report")] == ["report/index.html"]
    assert log_report(folder, [page]) == run_id
    assert client.get_run(run_id).data.tags["study.id"] == "reported-id"


def test_a_study_whose_driver_was_killed_before_it_began_has_no_run_to_attach_to(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, make_spec(study="stillborn"))
    with pytest.raises(StorageError, match="'stillborn' has not; type `prunefront resume stillborn`"):
        log_report(folder, [])
    assert not (folder.root / "mlflow.db").exists()
