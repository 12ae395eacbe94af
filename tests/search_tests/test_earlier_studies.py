"""What a search learns from studies before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import InvalidSettingsError, StorageError
from reports.fronts import find_front
from search.spec import SearchSpec
from search.studies.earlier_studies import read_earlier_trials
from search.studies.earlier_trials import EarlierTrial
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec

WIDE = {
    "budgets.macs": {"low": 0.3, "high": 0.9},
    "loss_weights.steering": {"low": 0.01, "high": 10, "log": True},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a results folder with a finished study of 12 trials."""
    spec = spec_of(tmp_path, "old", learn_from=[])
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.study.note({"id": "x", "created_at": 1.0, "version": "0", "machine": {}, "facts": {}})
    search.run()
    return tmp_path


def spec_of(root: Path, study: str = "new", *, learn_from: list[str], **changes: Any) -> SearchSpec:
    return make_spec(
        **{
            "study": study,
            "search": WIDE,
            "storage": {"path": str(root)},
            "sampler": {"name": "tpe", "learn_from": learn_from},
            **changes,
        }
    )


def begin(root: Path, spec: SearchSpec) -> SyntheticSearch:
    folder = StudyFolder(root, spec.study)
    search = SyntheticSearch(spec, folder if folder.exists else make_folder(root, spec))
    search.study.learn_from(lambda: read_earlier_trials(spec).trials)
    return search


def test_all_finished_trials_of_the_same_search_are_seen(root: Path) -> None:
    found = read_earlier_trials(spec_of(root, learn_from=["old"]))
    records = read_study(StudyFolder(root, "old")).records
    assert [dict(trial.values) for trial in found.trials] == [record.varied for record in records]
    assert found.notes == ("12 trials of 12 of old",)


def test_a_field_that_did_not_vary_then_may_vary_now(root: Path) -> None:
    search = {**WIDE, "saliency.num_basis": {"choices": [1, 2]}}
    found = read_earlier_trials(spec_of(root, learn_from=["old"], search=search))
    assert {trial.values["saliency.num_basis"] for trial in found.trials} == {1}
    assert len(found.trials) == 12


def test_trials_outside_the_present_ranges_are_left_out_and_counted(root: Path) -> None:
    search = {**WIDE, "budgets.macs": {"low": 0.5, "high": 0.9}}
    found = read_earlier_trials(spec_of(root, learn_from=["old"], search=search))
    assert 0 < len(found.trials) < 12
    assert all(float(str(trial.values["budgets.macs"])) >= 0.5 for trial in found.trials)
    left_out = 12 - len(found.trials)
    assert found.notes == (
        f"{len(found.trials)} trials of 12 of old; others differ in budgets.macs ({left_out})",
    )


def test_a_study_of_other_runs_is_refused_with_what_differs(root: Path) -> None:
    spec = spec_of(root, learn_from=["old"])
    changed = spec.model_copy(update={"run": spec.run.model_copy(update={"seed": 7})})
    with pytest.raises(
        InvalidSettingsError,
        match=r"'sampler.learn_from': study 'old' must have .* none among 12 .*; others differ in seed \(12\)",
    ):
        read_earlier_trials(changed)


def test_a_study_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(StorageError, match=r"has no 'older'\. Studies there: old"):
        read_earlier_trials(spec_of(root, learn_from=["older"]))


def test_constraints_are_those_of_the_present_search(root: Path) -> None:
    found = read_earlier_trials(spec_of(root, learn_from=["old"], constraints={"macs": "<= 50%"}))
    for trial in found.trials:
        assert (trial.constraints["macs"] <= 0) is (trial.scores[1] <= 500_000)


def test_what_was_learned_is_no_trial_of_the_search(root: Path) -> None:
    spec = spec_of(root, learn_from=["old"], limits={"trials": 3})
    search = begin(root, spec)
    search.study.note({"id": "y", "created_at": 1.0, "version": "0", "machine": {}, "facts": {}})
    search.run()
    study = read_study(search.folder)
    assert sorted(record.number for record in study.records) == [0, 1, 2]
    assert len(search.records) == 3
    assert {record.number for record in find_front(study).ranked} <= {0, 1, 2}


@pytest.mark.parametrize("name", ["tpe", "along_front", "known_costs"])
def test_the_first_proposal_follows_what_was_learned(root: Path, name: str) -> None:
    first = {}
    for study, learn_from in (("with", ["old"]), ("without", [])):
        spec = spec_of(root, study, learn_from=[], sampler={"name": name, "learn_from": learn_from})
        first[study] = begin(root, spec).study.ask().values
    assert first["with"] != first["without"]


def test_a_resumed_search_has_learned_the_same_though_the_earlier_study_went_on(root: Path) -> None:
    spec = spec_of(root, learn_from=["old"])
    begin(root, spec)

    def fail() -> list[EarlierTrial]:
        pytest.fail("what was learned is kept with the study")

    resumed = SyntheticSearch(spec, StudyFolder(root, spec.study))
    resumed.study.learn_from(fail)
    alone = begin(root, spec_of(root, "twin", learn_from=["old"]))
    assert resumed.study.ask().values == alone.study.ask().values
