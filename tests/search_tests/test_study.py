from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from optuna.trial import TrialState

from reports.records import TrialStatus
from search.spec import SearchSpec
from search.studies.reading import read_snapshot
from search.studies.study import SearchStudy, new_study_in_memory, open_search_study
from tests.search_tests.dying_driver import (
    WIDE,
    load_trials,
    mortal_spec,
    record_of,
    take_up,
    tell_trials,
)
from tests.search_tests.synthetic_search import make_folder, make_spec


@pytest.fixture(params=["journal", "postgresql"])
def place(request: pytest.FixtureRequest) -> dict[str, str | None]:
    """Where trials are kept, as a spec says it."""
    return {"optuna": None if request.param == "journal" else request.getfixturevalue("database_url")}


def propose_and_tell(study: SearchStudy, spec: SearchSpec, num_trials: int) -> list[dict[str, object]]:
    proposed: list[dict[str, object]] = []
    for _ in range(num_trials):
        asked = study.ask()
        proposed.append(dict(asked.values))
        study.tell(record_of(asked.number, spec))
    return proposed


@pytest.mark.parametrize("sampler", ["tpe", "known_costs", "nsga2", "nsga3", "random", "qmc"])
def test_proposals_depend_on_history_and_number_only(tmp_path: Path, sampler: str) -> None:
    spec = make_spec(search=WIDE, sampler={"name": sampler, "seed": 3})
    num_trials = 24
    together = propose_and_tell(open_search_study(make_folder(tmp_path / "a", spec), spec), spec, num_trials)
    folder = make_folder(tmp_path / "b", spec)
    apart: list[dict[str, object]] = []
    for num_more in (1, 4, 7, 12):
        apart += propose_and_tell(open_search_study(folder, spec), spec, num_more)
    assert apart == together
    assert len({json.dumps(values) for values in together}) > num_trials // 2


def test_another_seed_proposes_something_else(tmp_path: Path) -> None:
    proposed = []
    for seed in (0, 1):
        spec = make_spec(search=WIDE, sampler={"name": "tpe", "seed": seed})
        proposed.append(open_search_study(make_folder(tmp_path / str(seed), spec), spec).ask().values)
    assert proposed[0] != proposed[1]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (TrialStatus.COMPLETE, TrialState.COMPLETE),
        (TrialStatus.FAILED, TrialState.FAIL),
        (TrialStatus.INFEASIBLE, TrialState.PRUNED),
        (TrialStatus.STOPPED, TrialState.PRUNED),
    ],
)
def test_each_end_of_a_trial_has_its_state_in_optuna(
    tmp_path: Path, place: dict[str, str | None], status: TrialStatus, state: TrialState
) -> None:
    spec = make_spec(storage=place, search=WIDE)
    folder = make_folder(tmp_path, spec)
    study = open_search_study(folder, spec)
    record = record_of(study.ask().number, spec, status)
    study.tell(record)
    (trial,) = load_trials(folder)
    assert trial.state is state
    assert study.finished() == [record]
    if status is TrialStatus.COMPLETE:
        assert record.scores is not None
        assert trial.values == [record.scores.accuracy, record.scores.macs, record.scores.params]
        assert trial.constraints["budgets"] <= 0
    else:
        assert trial.values is None
    assert (trial.constraints.get("budgets") == 1.0) is (status is TrialStatus.INFEASIBLE)


def test_violated_constraints_are_known_to_the_sampler(tmp_path: Path, place: dict[str, str | None]) -> None:
    spec = make_spec(storage=place, search=WIDE, constraints={"params": "<= 10%"})
    folder = make_folder(tmp_path, spec)
    study = open_search_study(folder, spec)
    record = record_of(study.ask().number, spec).model_copy(update={"constraint_values": {"params": 0.3}})
    study.tell(record)
    assert load_trials(folder)[0].constraints["params"] == 0.3


def test_an_interrupted_trial_keeps_its_number_and_values(
    tmp_path: Path, place: dict[str, str | None]
) -> None:
    spec = make_spec(storage=place, search=WIDE)
    folder = make_folder(tmp_path, spec)
    killed = open_search_study(folder, spec)
    asked = [killed.ask() for _ in range(3)]
    killed.mark_started(1, "key-1")
    resumed = open_search_study(folder, spec)
    adopted = resumed.adopt()
    assert [trial.number for trial in adopted] == [0, 1, 2]
    assert [trial.values for trial in adopted] == [trial.values for trial in asked]
    assert [trial.started_at is not None for trial in adopted] == [False, True, False]
    for trial in adopted:
        resumed.tell(record_of(trial.number, spec))
    assert {trial.state for trial in load_trials(folder)} == {TrialState.COMPLETE}


def test_a_driver_may_die_after_any_line_it_writes(tmp_path: Path) -> None:
    spec = mortal_spec()
    folder = make_folder(tmp_path / "whole", spec)
    values = tell_trials(open_search_study(folder, spec), spec, 2)
    lines = folder.journal_path.read_bytes().splitlines(keepends=True)
    for num_lines in range(1, len(lines) + 1):
        folder = make_folder(tmp_path / str(num_lines), spec)
        folder.journal_path.write_bytes(b"".join(lines[:num_lines]) + lines[0][:7])
        trials = take_up(folder, spec, 2)
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
        assert [trial.params for trial in trials] == values


def test_a_torn_last_line_does_not_stop_readers(tmp_path: Path) -> None:
    spec = make_spec(search=WIDE)
    folder = make_folder(tmp_path, spec)
    study = open_search_study(folder, spec)
    study.tell(record_of(study.ask().number, spec))
    content = folder.journal_path.read_bytes()
    folder.journal_path.write_bytes(content + b'{"op_code": 4, "wor')
    snapshot = read_snapshot(folder)
    assert [record.number for record in snapshot.records] == [0]
    assert folder.journal_path.read_bytes() == content + b'{"op_code": 4, "wor'


def test_reading_a_study_that_has_not_begun_creates_nothing(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, make_spec())
    assert read_snapshot(folder).records == ()
    assert not folder.journal_path.exists()


def test_refused_proposals_leave_no_record(tmp_path: Path, place: dict[str, str | None]) -> None:
    spec = make_spec(storage=place, search=WIDE)
    folder = make_folder(tmp_path, spec)
    study = open_search_study(folder, spec)
    study.refuse(study.ask().number, "same configuration as trial 7")
    assert study.finished() == []
    (trial,) = load_trials(folder)
    assert (trial.state, trial.user_attrs["refused"]) == (TrialState.FAIL, "same configuration as trial 7")


def test_given_points_are_enqueued_once(tmp_path: Path, place: dict[str, str | None]) -> None:
    spec = make_spec(storage=place, search=WIDE)
    folder = make_folder(tmp_path, spec)
    points = [{"budgets.macs": 0.5}, {"budgets.macs": 0.7, "saliency.num_basis": 4}]
    study = open_search_study(folder, spec)
    study.enqueue_first(points)
    assert study.ask().values["budgets.macs"] == 0.5
    again = open_search_study(folder, spec)
    again.enqueue_first(points)
    assert again.ask().values["budgets.macs"] == 0.7
    assert again.ask().number == 2


def test_tried_configurations_are_avoided_until_none_is_left(tmp_path: Path) -> None:
    spec = make_spec(search={"saliency.num_basis": {"choices": [1, 2, 3, 4]}}, sampler={"name": "tpe"})
    study = open_search_study(make_folder(tmp_path, spec), spec)
    tried: set[object] = set()
    study.avoid(lambda values: values["saliency.num_basis"] in tried)
    for _ in range(4):
        tried.add(study.ask().values["saliency.num_basis"])
    assert tried == {1, 2, 3, 4}
    assert study.ask().values["saliency.num_basis"] in tried


def test_facts_about_a_study_are_noted_once(tmp_path: Path, place: dict[str, str | None]) -> None:
    spec = make_spec(storage=place)
    folder = make_folder(tmp_path, spec)
    open_search_study(folder, spec).note({"id": "first", "created_at": 1.0})
    again = open_search_study(folder, spec)
    again.note({"id": "second", "machine": {}})
    assert again.attributes == {"id": "first", "created_at": 1.0, "machine": {}}


@pytest.mark.parametrize("sampler", ["random", "tpe", "known_costs", "qmc"])
def test_the_first_proposals_lie_near_the_priors_and_later_ones_anywhere(sampler: str) -> None:
    search = {
        "loss_weights.steering": {"low": 0.01, "high": 100, "log": True, "prior": 50},
        "fine_tuning.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    }
    study = new_study_in_memory(make_spec(search=search, sampler={"name": sampler}))
    proposed = [float(str(study.ask().values["loss_weights.steering"])) for _ in range(40)]
    first, later = proposed[:10], proposed[10:]
    assert statistics.median(first) > 5
    assert statistics.median(later) < 5
