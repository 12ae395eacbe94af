import pytest

from reports.fronts import find_front, scores_of
from reports.records import StudyRecords, TrialStatus
from reports.summary import (
    dense_sentence,
    headline,
    reason_counts,
    stage_totals,
    status_counts,
    suggestions,
    uncertainty,
)
from tests.reports_tests.synthetic import MIXED, make_record, make_study, record_with, study_of


@pytest.mark.parametrize(
    ("study", "text"),
    [
        (make_study(0), "Nothing has been run yet."),
        (make_study(7, statuses=(TrialStatus.FAILED,)), "No network came out of 7 trials."),
        (make_study(1, statuses=(TrialStatus.RUNNING,)), "No network is finished yet; 1 trial running."),
        (study_of([record_with(0, 0.9, 400_000, 1)]), "One network on the front: 90.0% at 40% of the FLOPs."),
        (
            study_of([record_with(0, 0.6, 200_000, 1), record_with(1, 0.9, 800_000, 2)]),
            "2 networks on the front: from 90.0% at 80% of the FLOPs to 60.0% at 20%.",
        ),
    ],
)
def test_headline_says_what_was_found(study: StudyRecords, text: str) -> None:
    assert headline(find_front(study)) == text


def test_dense_sentence_names_accuracy_and_cost() -> None:
    study = study_of([record_with(0, 0.9, 400_000, 1)])
    assert dense_sentence(study) == "The dense network reaches 95.0% with 1.00M FLOPs (MACs) and 100K params."
    assert dense_sentence(make_study(0)) == ""


def test_several_dense_networks_are_counted() -> None:
    study = study_of([record_with(0, 0.9, 400_000, 1), make_record(1)])
    assert dense_sentence(study).startswith("The largest of the 2 dense networks reaches 92.24%")


def test_suggestions_merge_titles_of_one_network() -> None:
    (only,) = suggestions(find_front(study_of([record_with(0, 0.95, 400_000, 1)])))
    assert only.titles == ("Most accurate", "No measurable loss", "Smallest")


def test_no_measurable_loss_is_the_smallest_network_that_images_cannot_tell_apart() -> None:
    study = study_of(
        [
            record_with(0, 0.96, 900_000, 90_000),
            record_with(1, 0.945, 600_000, 60_000),
            record_with(2, 0.90, 300_000, 30_000),
        ]
    )
    by_title = {title: item.record.number for item in suggestions(find_front(study)) for title in item.titles}
    assert by_title == {"Most accurate": 0, "No measurable loss": 1, "Balanced": 1, "Smallest": 2}


def test_suggestions_are_front_networks() -> None:
    front = find_front(make_study(60, statuses=MIXED))
    assert {item.record.number for item in suggestions(front)} <= {record.number for record in front.points}
    assert suggestions(find_front(make_study(0))) == ()


def test_statuses_are_counted_and_absent_ones_left_out() -> None:
    counts = {item.status.value: item.count for item in status_counts(make_study(18, statuses=MIXED))}
    assert counts == {"complete": 14, "stopped": 1, "infeasible": 1, "failed": 1, "running": 1}
    assert status_counts(make_study(0)) == ()


def test_complete_trials_that_break_a_constraint_are_pointed_out() -> None:
    record = record_with(0, 0.9, 500, 50).model_copy(update={"constraint_values": {"accuracy": 0.1}})
    (item,) = status_counts(study_of([record, record_with(1, 0.9, 500, 50)]))
    assert item.meaning == "finished; 1 break a limit or constraint and do not count"


def test_reasons_are_grouped_most_frequent_first() -> None:
    failed = [make_record(number, status=TrialStatus.FAILED) for number in range(12)]
    failed[4] = failed[4].model_copy(update={"reason": "out of memory"})
    first, second = reason_counts(failed, TrialStatus.FAILED)
    assert (first.count, second.count, second.reason, second.examples) == (11, 1, "out of memory", "4")
    assert first.examples == "0, 1, 2, 3, 5, 6, 7, 8 and 3 more"


def test_stage_totals_add_up_and_count_reuse() -> None:
    study = make_study(10)
    totals = {total.stage: total for total in stage_totals(study)}
    assert sum(total.seconds for total in totals.values()) == pytest.approx(
        sum(record.seconds for record in study.records)
    )
    assert sum(total.share for total in totals.values()) == pytest.approx(1)
    assert (totals["dense"].num_computed, totals["dense"].num_reused) == (1, 9)
    assert stage_totals(make_study(0)) == ()


def test_stage_totals_tell_the_largest_peak_also_of_stages_that_only_others_ran() -> None:
    peaks = ({"steer": 900.0, "dense": 700.0}, {"steer": 1200.0})
    records = [
        make_record(number).model_copy(
            update={"stage_seconds": {"steer": 2.0}, "cached_stages": (), "stage_peak_memory_mb": peak}
        )
        for number, peak in enumerate(peaks)
    ]
    steer, dense = stage_totals(study_of(records))
    assert (steer.stage, steer.seconds, steer.peak_memory_mb) == ("steer", 4.0, 1200.0)
    assert (dense.stage, dense.seconds, dense.num_computed, dense.peak_memory_mb) == ("dense", 0.0, 0, 700.0)
    assert stage_totals(make_study(2))[0].peak_memory_mb is None


def test_the_peak_of_a_stage_on_a_gpu_is_the_gpu_s() -> None:
    record = make_record(0).model_copy(
        update={
            "stage_seconds": {"steer": 2.0},
            "stage_peak_memory_mb": {"steer": 3000.0},
            "stage_peak_gpu_memory_mb": {"steer": 500.0},
        }
    )
    (steer, *_) = stage_totals(study_of([record]))
    assert steer.peak_memory_mb == 500.0


def test_uncertainty_is_the_widest_interval_of_the_front() -> None:
    front = find_front(study_of([record_with(0, 0.5, 200_000, 1), record_with(1, 0.9, 800_000, 2)]))
    assert uncertainty(front) == pytest.approx(0.031, abs=1e-3)
    assert scores_of(front.points[0]).num_images == 1000
    assert uncertainty(find_front(make_study(0))) is None
