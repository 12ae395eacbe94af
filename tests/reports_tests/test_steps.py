import pytest

from reports.fronts import find_front
from reports.steps import front_steps
from tests.reports_tests.synthetic import make_study, record_with, study_of


def test_steps_go_down_from_the_dense_network() -> None:
    study = study_of([record_with(0, 0.80, 200_000, 20_000), record_with(1, 0.90, 400_000, 40_000)])
    first, second = front_steps(find_front(study))
    assert (first.larger, first.smaller, first.macs_saved) == (None, 1, 600_000)
    assert first.accuracy_lost == pytest.approx(0.05)
    assert (second.larger, second.smaller, second.macs_saved) == (1, 0, 200_000)
    assert second.points_per_million_macs == pytest.approx(10 / 0.2)


def test_a_step_to_a_better_network_has_a_negative_price() -> None:
    (step,) = front_steps(find_front(study_of([record_with(0, 0.97, 500_000, 50_000)])))
    assert step.accuracy_lost == pytest.approx(-0.02)
    assert step.points_per_million_macs < 0


def test_networks_on_the_front_for_their_params_alone_have_no_step() -> None:
    study = study_of(
        [
            record_with(0, 0.90, 400_000, 40_000),
            record_with(1, 0.85, 600_000, 10_000),
            record_with(2, 0.92, 700_000, 70_000),
        ]
    )
    front = find_front(study)
    assert len(front.points) == 3
    assert [(step.larger, step.smaller) for step in front_steps(front)] == [(None, 2), (2, 0)]


def test_steps_add_up_to_the_whole_way() -> None:
    front = find_front(make_study(60))
    steps = front_steps(front)
    (scores,) = [record.scores for record in front.points if record.number == steps[-1].smaller]
    assert scores is not None
    assert sum(step.macs_saved for step in steps) == scores.dense_macs - scores.macs
    assert sum(step.accuracy_lost for step in steps) == pytest.approx(scores.accuracy_drop)
    assert all(step.macs_saved > 0 for step in steps)
    assert all(step.accuracy_lost > 0 for step in steps[1:])


def test_nothing_has_no_steps() -> None:
    assert front_steps(find_front(make_study(0))) == ()
