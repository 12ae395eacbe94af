import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reports.figures import FIGURES
from reports.figures.writing import figure_files
from reports.fronts import find_front, scores_of
from reports.plots import PLOTS
from reports.records import StudyRecords, TrialStatus
from tests.reports_tests.synthetic import make_study, record_with, study_of, with_gallery


def rich_study() -> StudyRecords:
    """A study that has something for every figure."""
    records = []
    for record in make_study(6).records:
        scores = scores_of(record).model_copy(update={"latency_ms": 1.0, "dense_latency_ms": 2.0})
        records.append(record.model_copy(update={"scores": scores}))
    importances = {"hyperparameter_importances": {"accuracy": {"budgets.macs": 0.7, "method": 0.3}}}
    return with_gallery(study_of(records)).model_copy(update=importances)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_shows_what_a_plot_of_the_page_shows(name: str) -> None:
    assert name in PLOTS
    figure = FIGURES[name](find_front(rich_study()))
    assert isinstance(figure, Figure)
    assert FIGURES[name](find_front(make_study(3, statuses=(TrialStatus.FAILED,)))) is None


def test_a_figure_of_the_front_has_its_points_where_they_are() -> None:
    study = study_of([record_with(0, 0.9, 500_000, 50_000), record_with(1, 0.8, 600_000, 60_000)])
    figure = FIGURES["accuracy_macs"](find_front(study))
    assert figure is not None
    (axes,) = figure.axes
    places = {one.get_label(): np.asarray(one.get_offsets()).tolist() for one in axes.collections}
    assert places["front"] == [[500_000, 0.9]]
    assert places["dominated networks"] == [[600_000, 0.8]]
    assert places["dense network"] == [[1_000_000, 0.95]]


def test_files_are_svg_with_text_as_text_and_png_and_come_out_alike() -> None:
    front = find_front(study_of([record_with(0, 0.9, 500_000, 50_000)]))
    two = {name: FIGURES[name] for name in ("accuracy_macs", "latencies")}
    files = dict(figure_files(front, two))
    assert files == dict(figure_files(front, two))
    assert files.keys() == {"accuracy_macs.svg", "accuracy_macs.png"}  # nothing was timed
    svg = ET.fromstring(files["accuracy_macs.svg"])
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"FLOPs (MACs)", "validation accuracy", "front", "dense network"} <= set(words)
    assert b"<script" not in files["accuracy_macs.svg"]
    assert Image.open(io.BytesIO(files["accuracy_macs.png"])).width >= 1000
