from io import StringIO

import pandas as pd
import pytest

from reports.confidence import wilson_interval
from reports.front_rows import front_rows
from reports.fronts import find_front, front_ranks, scores_of
from reports.records import TestScores, TrialStatus
from reports.tables import front_table, trials_table
from tests.reports_tests.synthetic import MIXED, make_study, record_with, study_of


def test_rows_are_the_distinct_front_most_macs_first() -> None:
    study = make_study(50, statuses=MIXED)
    rows = front_rows(study)
    assert [row.number for row in rows] == [record.number for record in find_front(study).points]
    assert [row.macs for row in rows] == sorted((row.macs for row in rows), reverse=True)


def test_rows_repeat_what_the_records_say() -> None:
    study = make_study(1, linked=True)
    (row,) = front_rows(study)
    record = study.records[0]
    scores = scores_of(record)
    assert (row.accuracy, row.macs, row.params) == (scores.accuracy, scores.macs, scores.params)
    assert row.interval == wilson_interval(scores.num_correct_fine_tuned, scores.num_images)
    assert (row.num_kept, row.num_channels) == (sum(kept for kept, _ in record.kept.values()), 336)
    assert row.run_url == study.run_url(0)


def test_equal_networks_share_a_row_that_names_the_others() -> None:
    rows = front_rows(study_of([record_with(number, 0.9, 500, 50) for number in (3, 1, 2)]))
    assert [(row.number, row.repeats) for row in rows] == [(1, (2, 3))]


def test_a_test_accuracy_is_shown_where_one_exists() -> None:
    tested = record_with(0, 0.9, 500, 50).model_copy(
        update={"test": TestScores(num_images=100, num_correct=88, num_correct_dense=90)}
    )
    assert front_rows(study_of([tested]))[0].test_accuracy == 0.88


def test_csv_of_all_trials_reads_back() -> None:
    study = make_study(40, statuses=MIXED, linked=True)
    table = pd.read_csv(StringIO(trials_table(study).to_csv(index=False)))
    assert table["number"].tolist() == list(range(40))
    assert table["status"].value_counts()["failed"] == 2
    ranks = front_ranks(study)
    for record, row in zip(study.records, table.to_dict("records"), strict=True):
        if record.status is TrialStatus.COMPLETE:
            assert row["accuracy"] == pytest.approx(scores_of(record).accuracy)
            assert row["macs"] == scores_of(record).macs
            assert row["pareto_rank"] == ranks[record.number]


def test_csv_of_the_front_has_a_column_per_setting_and_group() -> None:
    table = front_table(make_study(20))
    assert {"budgets.macs", "saliency.num_basis", "kept.layer3.2.conv1", "accuracy_low"} <= set(table.columns)
    assert pd.api.types.is_integer_dtype(table["next_smaller"])


@pytest.mark.parametrize("statuses", [(TrialStatus.FAILED,), (TrialStatus.RUNNING,)])
@pytest.mark.parametrize("count", [0, 3])
def test_tables_without_networks_still_have_a_header(count: int, statuses: tuple[TrialStatus, ...]) -> None:
    study = make_study(count, statuses=statuses)
    assert front_table(study).to_csv(index=False).startswith("number,")
    assert trials_table(study).to_csv(index=False).startswith("number,")
    assert len(trials_table(study)) == count
