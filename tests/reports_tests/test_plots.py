import json

import pytest

from reports.fronts import StudyFront, find_front, scores_of
from reports.plots import PLOTS
from reports.plots.accuracies import accuracies_info, draw_accuracies
from reports.plots.class_drift import class_drift_info, draw_class_drift
from reports.plots.front_pairs import front_pair_info
from reports.plots.front_space import front_space_info
from reports.plots.hypervolume_time import hypervolume_info
from reports.plots.importances import importances_info
from reports.plots.kept_widths import kept_widths_info
from reports.plots.latencies import draw_latencies, latency_info
from reports.plots.parallel import parallel_info
from reports.plots.slices import draw_slices, slices_info
from reports.plots.stage_times import stage_times_info
from reports.plots.step_prices import step_prices_info
from reports.plots.theme import DARK, describe_settings, thin_out
from reports.records import StudyRecords, TrialStatus
from tests.reports_tests.latency_cases import measurement, network
from tests.reports_tests.synthetic import (
    MIXED,
    make_gallery,
    make_record,
    make_study,
    record_with,
    study_of,
    with_gallery,
)

FULL = make_study(60, statuses=MIXED, linked=True)


def with_latency(study: StudyRecords, factor: float) -> StudyRecords:
    records = []
    for record in study.records:
        scores = scores_of(record)
        measured = {"latency_ms": factor * scores.macs_share, "dense_latency_ms": 1.0}
        records.append(record.model_copy(update={"scores": scores.model_copy(update=measured)}))
    return study.model_copy(update={"records": tuple(records)})


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("count", [0, 1, 2, 30])
@pytest.mark.parametrize(
    "statuses", [(TrialStatus.COMPLETE,), (TrialStatus.FAILED,), (TrialStatus.RUNNING,), MIXED]
)
def test_every_plot_draws_or_declines_every_study(
    name: str, count: int, statuses: tuple[TrialStatus, ...]
) -> None:
    drawing = PLOTS[name].draw(find_front(make_study(count, statuses=statuses)))
    if drawing is not None:
        assert drawing.figure.layout.height >= 200
        assert json.loads(drawing.figure.to_json())["data"]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_has_words_and_needs_nothing_it_cannot_get(name: str) -> None:
    assert PLOTS[name].title
    assert PLOTS[name].reading.endswith(".")
    needs_more = name in ("latencies", "importances", "class_drift")
    assert (PLOTS[name].draw(find_front(FULL)) is None) == needs_more


@pytest.mark.parametrize("name", PLOTS)
def test_every_colour_of_a_plot_has_a_dark_partner(name: str) -> None:
    study = with_gallery(with_latency(make_study(30), 2.0)).model_copy(
        update={"hyperparameter_importances": {"accuracy": {"budgets.macs": 0.7}}}
    )
    drawing = PLOTS[name].draw(find_front(study))
    assert drawing is not None
    colours = [text for text in strings_of(json.loads(drawing.figure.to_json())) if text.startswith("#")]
    assert colours
    assert set(colours) <= set(DARK)


def strings_of(part: object) -> list[str]:
    if isinstance(part, str):
        return [part]
    items = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
    return [text for item in items for text in strings_of(item)]


def test_front_pair_separates_front_dominated_and_dense() -> None:
    front = find_front(FULL)
    info = front_pair_info(front, "macs", "accuracy")
    assert info is not None
    assert len(info.front) == len(front.points)
    assert len(info.dominated) == len(front.ranked) - len(front.members)
    assert [(point.x, point.y) for point in info.dense] == [(40_813_184, 4612 / 5000)]
    assert info.front[0].url == FULL.run_url(front.points[0].number)


def test_stairs_of_a_pair_rise_with_cost() -> None:
    info = front_pair_info(find_front(FULL), "params", "accuracy")
    assert info is not None
    assert [point.x for point in info.stairs] == sorted(point.x for point in info.stairs)
    assert [point.y for point in info.stairs] == sorted(point.y for point in info.stairs)
    assert set(info.stairs) <= set(info.front)


def test_stairs_of_two_costs_fall() -> None:
    study = study_of(
        [record_with(0, 0.9, 200, 50), record_with(1, 0.9, 300, 40), record_with(2, 0.95, 300, 60)]
    )
    info = front_pair_info(find_front(study), "macs", "params")
    assert info is not None
    assert [(point.x, point.y) for point in info.stairs] == [(200, 50), (300, 40)]


def test_error_bars_are_the_interval() -> None:
    info = front_pair_info(
        find_front(study_of([record_with(0, 0.9, 500, 50, num_images=100)])), "macs", "accuracy"
    )
    assert info is not None
    point = info.front[0]
    assert (point.y - point.error_down, point.y + point.error_up) == pytest.approx((0.8256, 0.9448), abs=1e-4)


def test_collapsed_networks_do_not_squeeze_the_front() -> None:
    study = study_of([record_with(0, 0.9, 500_000, 50_000), record_with(1, 0.1, 600_000, 60_000)])
    info = front_pair_info(find_front(study), "macs", "accuracy")
    assert info is not None
    assert info.num_below == 1
    assert info.y_range[0] > 0.8


def test_large_studies_are_thinned_and_the_note_says_so() -> None:
    drawing = PLOTS["accuracy_macs"].draw(find_front(make_study(500)))
    assert drawing is not None
    front = find_front(make_study(500))
    num_dominated = len(front.ranked) - len(front.members)
    assert drawing.note == f"350 of {num_dominated} dominated networks are drawn."


def test_the_three_dimensional_front_shares_points_with_the_pairs() -> None:
    info = front_space_info(find_front(FULL))
    assert info is not None
    accuracy, params = info
    assert [point.x for point in accuracy.front] == [point.x for point in params.front]


def test_settings_in_hover_labels_are_escaped() -> None:
    text = describe_settings({"architecture.name": "<img src=x>", "gates.base": 3.0})
    assert text == "<br>architecture.name: &lt;img src=x&gt;<br>gates.base: 3"


def test_thinning_keeps_both_ends() -> None:
    assert thin_out(list(range(100)), 5) == (0, 25, 50, 74, 99)
    assert thin_out([1, 2], 5) == (1, 2)


def test_accuracies_are_those_of_the_front() -> None:
    front = find_front(FULL)
    info = accuracies_info(front)
    assert info is not None
    assert info.numbers == tuple(record.number for record in front.points)
    assert all(after <= tuned for after, tuned in zip(info.after_removal, info.fine_tuned, strict=True))


def test_refitted_accuracies_are_drawn_where_there_are_some() -> None:
    assert "refitted" not in series_of(find_front(FULL))
    record = make_record(0)
    assert record.scores is not None
    scores = record.scores.model_copy(update={"num_correct_after_reconstruction": 2500})
    front = find_front(study_of([record.model_copy(update={"scores": scores})]))
    info = accuracies_info(front)
    assert info is not None
    assert info.after_reconstruction == (0.5,)
    assert "refitted" in series_of(front)


def series_of(front: StudyFront) -> list[str | None]:
    drawing = draw_accuracies(front)
    assert drawing is not None
    return [trace.name for trace in drawing.figure.data]


def test_kept_widths_leave_blank_what_a_network_does_not_have() -> None:
    first = make_record(0)
    second = make_record(1).model_copy(update={"kept": {"features.0": (3, 4)}})
    info = kept_widths_info(find_front(study_of([first, second])))
    assert info is not None
    assert info.groups[-1] == "features.0" or info.groups[0] == "features.0"
    row = info.shares[[name.startswith("1:") for name in info.networks].index(True)]
    assert row.count(None) == 9
    assert 0.75 in row


def test_hypervolume_ends_at_the_last_change_and_takes_the_recorded_history() -> None:
    study = make_study(4).model_copy(update={"hypervolume_history": ((60.0, 0.1), (180.0, 0.4))})
    info = hypervolume_info(find_front(study))
    assert info is not None
    assert (info.unit, info.values) == ("minutes", (0.1, 0.4, 0.4))
    assert info.times[-1] == pytest.approx((study.updated_at - study.created_at) / 60)


def test_parallel_axes_use_a_log_scale_for_wide_ranges_and_names_for_choices() -> None:
    info = parallel_info(find_front(FULL))
    assert info is not None
    axes = {axis.name: axis for axis in info.axes}
    assert axes["loss_weights.steering"].tick_texts == ("0.01", "0.1", "1", "10")
    assert axes["saliency.num_basis"].tick_texts == ("1", "2", "4")
    assert set(axes["method"].positions) == {0.0, 1.0}
    assert axes["budgets.macs"].tick_texts == ()
    assert len({len(axis.positions) for axis in info.axes}) == 1


def test_parallel_names_what_is_not_set() -> None:
    records = [
        make_record(i).model_copy(update={"varied": {"gates.num_images": value}})
        for i, value in enumerate((None, 100, 9))
    ]
    info = parallel_info(find_front(study_of(records)))
    assert info is not None
    assert set(info.axes[0].tick_texts) == {"9", "100", "not set"}


def test_stage_times_hold_every_second() -> None:
    info = stage_times_info(find_front(FULL))
    assert info is not None
    total = sum(sum(values) for values in info.seconds.values())
    assert total == pytest.approx(sum(record.seconds for record in FULL.records))


def test_step_prices_have_one_bar_per_step() -> None:
    info = step_prices_info(find_front(study_of([record_with(0, 0.80, 500_000, 50_000)])))
    assert info is not None
    assert info.names == ("dense to 0",)
    assert info.prices == pytest.approx((30.0,))
    assert info.labels == ("-15.00 points of accuracy, 500K FLOPs (MACs) saved",)


def test_importances_are_ordered_by_their_total() -> None:
    study = make_study(2).model_copy(
        update={
            "hyperparameter_importances": {"accuracy": {"a": 0.2, "b": 0.5}, "macs": {"a": 0.1, "b": 0.3}}
        }
    )
    info = importances_info(find_front(study))
    assert info is not None
    assert [list(row) for row in info.values()] == [["b", "a"], ["b", "a"]]


def test_networks_slower_than_dense_are_warned_of() -> None:
    front = find_front(
        with_latency(study_of([record_with(0, 0.9, 600_000, 1), record_with(1, 0.8, 400_000, 1)]), 2)
    )
    info = latency_info(front)
    assert info is not None
    assert [point.is_slower for point in info.slim] == [True, False]
    drawing = draw_latencies(front)
    assert drawing is not None
    assert drawing.note == "1 network with fewer MACs but slower than dense."


def test_networks_slower_than_a_larger_one_are_warned_of_and_linked() -> None:
    study = study_of(
        [record_with(number, 0.9 - 0.1 * number, 600_000 - 100_000 * number, 1) for number in range(3)],
        linked=True,
    )
    timed = []
    for record, latency_ms in zip(study.records, (0.5, 0.6, 0.4), strict=True):
        scores = scores_of(record).model_copy(update={"latency_ms": latency_ms, "dense_latency_ms": 1.0})
        timed.append(record.model_copy(update={"scores": scores}))
    front = find_front(study.model_copy(update={"records": tuple(timed)}))
    info = latency_info(front)
    assert info is not None
    assert [point.is_slower_than_larger for point in info.slim] == [False, True, False]
    assert [point.url for point in info.slim] == [study.run_url(number) for number in range(3)]
    drawing = draw_latencies(front)
    assert drawing is not None
    assert drawing.note == "1 network with fewer MACs but slower than a larger network of the front."


def test_slices_place_every_network_at_its_setting() -> None:
    front = find_front(FULL)
    info = slices_info(front)
    assert info is not None
    assert list(info.values) == ["accuracy", "macs", "params"]
    assert len(info.labels) == len(front.ranked)
    columns = {column.axis.name: column for column in info.columns}
    assert set(columns) == {"method", "budgets.macs", "saliency.num_basis", "loss_weights.steering"}
    by_label = {label: index for index, label in enumerate(info.labels)}
    for record in front.ranked:
        trial = next(index for label, index in by_label.items() if f"<b>Trial {record.number}</b>" in label)
        place = columns["budgets.macs"].trials.index(trial)
        assert columns["budgets.macs"].axis.positions[place] == record.varied["budgets.macs"]
        assert info.values["accuracy"][trial] == scores_of(record).accuracy
        assert info.urls[trial] == FULL.run_url(record.number)
        assert info.is_front[trial] == (record in front.members)


def test_slices_leave_out_trials_without_a_field_and_fields_that_did_not_vary() -> None:
    records = [
        make_record(number).model_copy(update={"varied": varied})
        for number, varied in enumerate(
            (
                {"seed": 1, "method": "l1"},
                {"seed": 1, "method": "l2"},
                {"seed": 1, "method": "l2", "gates.base": 2},
            )
        )
    ]
    info = slices_info(find_front(study_of(records)))
    assert info is not None
    assert [column.axis.name for column in info.columns] == ["method"]
    assert slices_info(find_front(study_of(records[1:2]))) is None


def test_slices_begin_with_what_matters_most_and_have_a_plot_per_objective_and_field() -> None:
    study = FULL.model_copy(
        update={"hyperparameter_importances": {"accuracy": {"loss_weights.steering": 0.6, "method": 0.4}}}
    )
    info = slices_info(find_front(study))
    assert info is not None
    assert [column.axis.name for column in info.columns][:2] == ["loss_weights.steering", "method"]
    drawing = draw_slices(find_front(study))
    assert drawing is not None
    assert len(drawing.figure.data) == 2 * 3 * 4
    assert sum(bool(trace.showlegend) for trace in drawing.figure.data) == 2


def test_class_drift_shows_classes_with_images_alone() -> None:
    front = find_front(with_gallery(FULL))
    info = class_drift_info(front)
    assert info is not None
    assert info.classes == ("ship", "cat")
    assert info.similarities == ((1.0, 0.75), (0.5, 0.75))
    assert info.num_images == (60, 40)
    assert info.networks[0].startswith(f"trial {front.points[-2].number} at ")


def test_of_very_many_classes_those_that_moved_most_are_drawn() -> None:
    gallery = make_gallery([0], class_names=[f"class {label}" for label in range(100)])
    similarity = tuple(label / 100 for label in range(100))
    network = gallery.networks[0].model_copy(update={"similarity_by_class": similarity[::-1]})
    study = FULL.model_copy(
        update={"gallery": gallery.model_copy(update={"networks": (network,), "num_by_class": (1,) * 100})}
    )
    info = class_drift_info(find_front(study))
    assert info is not None
    assert info.classes == tuple(f"class {label}" for label in range(40, 100))
    drawing = draw_class_drift(find_front(study))
    assert drawing is not None
    assert drawing.note == "The 60 classes whose explanations moved most; 40 others are not drawn."


def test_measured_latencies_take_the_place_of_the_tables() -> None:
    study = with_latency(study_of([record_with(0, 0.9, 600_000, 1), record_with(1, 0.8, 400_000, 1)]), 2)
    measured = measurement(
        network(None, 1_000_000, onnxruntime=1.0, torch=3.0),
        network(0, 600_000, onnxruntime=0.7, torch=2.0),
        network(1, 400_000, onnxruntime=1.2, torch=1.0),
    )
    again = measurement(network(None, 1_000_000, torch=4.0), network(1, 400_000, torch=1.5))
    for latencies, runtime, heights, are_slower, dense in (
        ((measured,), "onnxruntime", [0.7, 1.2], [False, True], [1.0]),
        ((measured, again), "torch", [2.0, 1.5], [False, False], [3.0, 4.0]),  # all points in one runtime
    ):
        info = latency_info(find_front(study.model_copy(update={"latencies": latencies})))
        assert info is not None
        assert info.axis == f"latency measured in {runtime}, median (ms)"
        assert [point.latency_ms for point in info.slim] == heights
        assert [point.is_slower for point in info.slim] == are_slower
        assert [point.latency_ms for point in info.dense] == dense
