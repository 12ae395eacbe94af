import pytest

from reports.records import (
    RungScores,
    TestScores,
    TrialRecord,
    TrialStatus,
    from_mlflow,
    record_json,
    to_metrics,
    to_params,
    to_tags,
)
from tests.reports_tests.synthetic import make_record


def through_mlflow(record: TrialRecord) -> TrialRecord:
    tags = to_tags(record, front_rank=1, on_front=True) | {"mlflow.runName": "trial"}
    return from_mlflow(to_params(record), to_metrics(record), tags, record_json(record))


@pytest.mark.parametrize("status", TrialStatus)
@pytest.mark.parametrize("number", [0, 3])
def test_record_to_mlflow_and_back_is_the_identity(status: TrialStatus, number: int) -> None:
    record = make_record(number, status=status)
    assert through_mlflow(record) == record


def test_a_tested_record_survives_the_round_trip() -> None:
    test = TestScores(num_images=10_000, num_correct=9101, num_correct_dense=9203)
    record = make_record(0).model_copy(update={"test": test})
    assert through_mlflow(record) == record
    assert to_metrics(record)["test_accuracy"] == 0.9101


def test_unmeasured_values_are_left_out_of_the_metrics() -> None:
    assert to_metrics(make_record(0, status=TrialStatus.INFEASIBLE)) == {}
    assert "latency_ms" not in to_metrics(make_record(0))


def test_the_accuracy_after_reconstruction_is_a_metric_of_its_own_and_older_records_have_none() -> None:
    record = make_record(0)
    assert record.scores is not None
    old = record.model_dump()
    del old["scores"]["num_correct_after_reconstruction"]
    assert TrialRecord.model_validate(old) == record
    assert "accuracy_after_reconstruction" not in to_metrics(record)
    scores = record.scores.model_copy(update={"num_correct_after_reconstruction": 2500})
    refitted = record.model_copy(update={"scores": scores})
    assert to_metrics(refitted)["accuracy_after_reconstruction"] == 0.5
    assert through_mlflow(refitted) == refitted


def test_what_each_stage_took_is_a_metric_of_its_own() -> None:
    record = make_record(0).model_copy(
        update={
            "stage_seconds": {"steer": 2.5},
            "stage_peak_memory_mb": {"steer": 812.5, "selector": 640.0},
            "stage_peak_gpu_memory_mb": {"steer": 90.0},
        }
    )
    metrics = to_metrics(record)
    assert {name: value for name, value in metrics.items() if name.startswith("stage_")} == {
        "stage_seconds/steer": 2.5,
        "stage_peak_memory_mb/steer": 812.5,
        "stage_peak_memory_mb/selector": 640.0,
        "stage_peak_gpu_memory_mb/steer": 90.0,
    }
    assert through_mlflow(record) == record


def test_params_hold_the_varied_fields_only() -> None:
    record = make_record(0).model_copy(
        update={
            "varied": {
                "method": "l1",
                "budgets.macs": 0.5,
                "gates.hard_forward": True,
                "gates.num_images": None,
            }
        }
    )
    assert to_params(record) == {
        "method": "l1",
        "budgets.macs": "0.5",
        "gates.hard_forward": "true",
        "gates.num_images": "null",
    }


def test_tags_tell_front_rank_status_and_reason() -> None:
    complete = to_tags(make_record(0), front_rank=2, on_front=False)
    assert (complete["pareto.front"], complete["pareto.rank"], complete["feasible"]) == ("false", "2", "true")
    failed = to_tags(make_record(0, status=TrialStatus.FAILED), front_rank=None, on_front=False)
    assert failed["status"] == "failed"
    assert failed["failure_reason"].startswith("NonFiniteLossError")
    assert "pareto.rank" not in failed


def test_a_reason_longer_than_a_tag_is_cut_there_and_kept_in_the_record() -> None:
    record = make_record(0, status=TrialStatus.FAILED).model_copy(update={"reason": "x" * 20_000})
    assert len(to_tags(record, front_rank=None, on_front=False)["failure_reason"]) < 8000
    assert through_mlflow(record).reason == record.reason


def test_a_run_that_disagrees_with_its_record_is_refused() -> None:
    record = make_record(0)
    metrics = to_metrics(record) | {"accuracy": 0.99}
    tags = to_tags(record, front_rank=1, on_front=True)
    with pytest.raises(ValueError, match=r"metric 'accuracy' of trial 0 must be .* but the run has 0.99"):
        from_mlflow(to_params(record), metrics, tags, record_json(record))
    tags["status"] = "failed"
    with pytest.raises(
        ValueError, match=r"tag 'status' of trial 0 must be 'complete' as in record.json, but"
    ):
        from_mlflow(to_params(record), to_metrics(record), tags, record_json(record))


def test_a_stopped_trial_says_what_it_had_reached_under_names_of_its_own() -> None:
    record = make_record(1, status=TrialStatus.COMPLETE)
    assert record.scores is not None
    rung = RungScores(epochs=3, order=0, seconds=1.5, finished_at=2.0, scores=record.scores)
    stopped = record.model_copy(
        update={
            "status": TrialStatus.STOPPED,
            "scores": None,
            "rungs": (rung,),
            "reason": "not among the best",
        }
    )
    metrics = to_metrics(stopped)
    assert "accuracy" not in metrics
    assert (metrics["stopped_accuracy"], metrics["stopped_epochs"]) == (record.scores.accuracy, 3.0)
    assert to_tags(stopped, front_rank=None, on_front=False)["stop_reason"] == "not among the best"
    assert through_mlflow(stopped) == stopped
