from typing import Any

import pytest
from pydantic import ValidationError

from reports.fronts import scores_of
from reports.records import NetworkScores, StudyRecords, TestScores, TrialRecord, TrialStatus
from tests.reports_tests.synthetic import START, make_record, make_study, record_with


def plain(record: TrialRecord, **changes: object) -> dict[str, Any]:
    return record.model_dump() | changes


def test_accuracies_and_shares_are_computed_from_counts() -> None:
    scores = NetworkScores(
        num_images=200,
        num_correct_dense=180,
        num_correct_after_removal=50,
        num_correct_fine_tuned=170,
        macs=30,
        params=4,
        dense_macs=60,
        dense_params=16,
    )
    assert (scores.accuracy_dense, scores.accuracy_after_removal, scores.accuracy) == (0.9, 0.25, 0.85)
    assert scores.accuracy_drop == pytest.approx(0.05)
    assert (scores.macs_share, scores.params_share) == (0.5, 0.25)


def test_the_accuracy_after_reconstruction_is_there_where_weights_were_refitted_alone() -> None:
    plain_scores = scores_of(record_with(0, 0.8, 10, 10))
    assert plain_scores.accuracy_after_reconstruction is None
    refitted = NetworkScores(**plain_scores.model_dump() | {"num_correct_after_reconstruction": 600})
    assert refitted.accuracy_after_reconstruction == 0.6
    with pytest.raises(ValidationError, match="num_correct_after_reconstruction <= num_images must hold"):
        NetworkScores(**plain_scores.model_dump() | {"num_correct_after_reconstruction": 1001})


def test_more_correct_answers_than_images_are_refused() -> None:
    with pytest.raises(ValidationError, match="num_correct_fine_tuned <= num_images must hold"):
        record_with(0, 1.2, 10, 10)
    with pytest.raises(ValidationError, match="num_correct <= num_images must hold, but got num_correct=3"):
        TestScores(num_images=2, num_correct=3, num_correct_dense=1)


@pytest.mark.parametrize("name", ["epoch", "Status"])
def test_unknown_keys_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TrialRecord.model_validate(plain(make_record(0), **{name: 1}))


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record(0).number = 3  # type: ignore[misc]  # that it cannot be set is the point


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        TrialRecord.model_validate(plain(make_record(0), stage_seconds={"gates": value}))


def test_a_record_from_before_stage_memory_was_kept_still_loads() -> None:
    old = plain(make_record(0))
    del old["stage_peak_memory_mb"], old["stage_peak_gpu_memory_mb"]
    record = TrialRecord.model_validate(old)
    assert (record.stage_peak_memory_mb, record.stage_peak_gpu_memory_mb) == ({}, {})


def test_another_schema_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="must have schema version 1, but trial 0 has 2"):
        TrialRecord.model_validate(plain(make_record(0), schema_version=2))


def test_a_complete_trial_needs_scores() -> None:
    with pytest.raises(ValidationError, match="a complete trial must have scores and finished_at"):
        TrialRecord.model_validate(plain(make_record(0), scores=None))


@pytest.mark.parametrize("status", [TrialStatus.FAILED, TrialStatus.INFEASIBLE])
def test_a_trial_without_a_network_must_say_why(status: TrialStatus) -> None:
    with pytest.raises(ValidationError, match=f"a trial that is {status} must say why"):
        TrialRecord.model_validate(plain(make_record(0), status=status, reason=None))


def test_kept_counts_outside_their_group_are_refused() -> None:
    with pytest.raises(ValidationError, match="every group must keep 1 to all of its channels"):
        TrialRecord.model_validate(plain(make_record(0), kept={"layer1.0.conv1": (0, 16)}))


def test_a_network_over_its_budget_is_not_feasible() -> None:
    record = record_with(0, 0.9, 500, 50)
    assert record.is_feasible
    assert record.model_copy(update={"limits": {"macs": 500}}).is_feasible
    assert not record.model_copy(update={"limits": {"macs": 499}}).is_feasible
    assert not record.model_copy(update={"limits": {"params": 49}}).is_feasible


def test_a_violated_constraint_makes_a_trial_infeasible() -> None:
    record = record_with(0, 0.9, 500, 50)
    assert record.model_copy(update={"constraint_values": {"accuracy": 0.0}}).is_feasible
    assert not record.model_copy(update={"constraint_values": {"accuracy": 0.01}}).is_feasible


def test_study_refuses_unknown_objectives_and_names_the_known_ones() -> None:
    with pytest.raises(
        ValidationError, match=r"unknown objectives \['energy'\]. Known objectives: accuracy,"
    ):
        StudyRecords(study="s", objectives={"energy": "minimize"}, created_at=0, updated_at=0, version="0")


def test_study_refuses_two_trials_with_one_number() -> None:
    with pytest.raises(ValidationError, match="trial numbers of study 's' must be unique"):
        StudyRecords(
            study="s",
            created_at=START,
            updated_at=START,
            version="0",
            records=(make_record(1), make_record(1)),
        )


def test_links_that_are_no_web_address_are_refused() -> None:
    with pytest.raises(ValidationError, match="run_url_base must start with http"):
        StudyRecords(study="s", created_at=0, updated_at=0, version="0", run_url_base="javascript:alert(1)//")


def test_run_url_joins_base_and_run_id() -> None:
    study = make_study(2, linked=True)
    assert (
        study.run_url(1)
        == f"http://127.0.0.1:5000/#/experiments/1/runs/{1:032x}?workflowType=machine_learning"
    )
    assert study.run_url(7) is None
    assert make_study(2).run_url(1) is None


def test_study_survives_json() -> None:
    study = make_study(20, linked=True)
    assert StudyRecords.model_validate_json(study.model_dump_json()) == study


def test_a_record_says_which_share_of_each_budget_is_used() -> None:
    record = make_record(0)
    assert record.scores is not None
    scores = record.scores.model_copy(
        update={"activation_memory": 30, "dense_activation_memory": 60, "latency_ms": 0.5}
    )
    limits = {"activation_memory": 40, "latency_ms": 0.625}
    within = record.model_copy(update={"scores": scores, "limits": limits})
    assert within.budget_use == {"activation_memory": 0.75, "latency_ms": 0.8}
    assert within.is_feasible
    assert (scores.activation_memory_share, scores.latency_share) == (0.5, None)
    assert not within.model_copy(update={"limits": {"latency_ms": 0.4}}).is_feasible
    assert TrialRecord.model_validate_json(within.model_dump_json()) == within


def test_a_record_of_an_earlier_version_is_read() -> None:
    """It says nothing of memory, and its limits are whole."""
    written = make_record(0).model_dump(mode="json")
    for name in ("activation_memory", "dense_activation_memory"):
        del written["scores"][name]
    read = TrialRecord.model_validate(written)
    assert read == make_record(0)
    assert all(isinstance(limit, int) for limit in read.limits.values())


def test_a_limit_on_what_was_not_measured_is_refused() -> None:
    record = make_record(0).model_copy(update={"limits": {"latency_ms": 1.0}})
    with pytest.raises(ValueError, match="a network with a budget on latency_ms must have a latency_ms"):
        _ = record.is_feasible
