import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from reports.page import render_page, write_report
from reports.records import StudyRecords, TestScores, TrialStatus
from tests.reports_tests.synthetic import (
    MIXED,
    make_gallery,
    make_record,
    make_study,
    record_with,
    study_of,
    with_gallery,
)

HOSTILE = "</script><script>alert('x')</script>"
MEGABYTE = 1_000_000


class PageReader(HTMLParser):
    """Collects what a browser would: visible words, addresses it would load, links, and script elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        values = dict(attrs)
        if tag == "script":
            self.scripts.append("")
        for name in ("src", "srcset", "data", "action", "poster", "background"):
            self.loads.extend([values[name] or ""] if name in values else [])
        if "href" in values:
            (self.links if tag == "a" else self.loads).append(values["href"] or "")
        if "id" in values:
            self.ids.append(values["id"] or "")

    def handle_endtag(self, _: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


STUDIES = {
    "empty": make_study(0),
    "one": make_study(1),
    "failed": make_study(5, statuses=(TrialStatus.FAILED,)),
    "infeasible": make_study(3, statuses=(TrialStatus.INFEASIBLE,)),
    "running": make_study(2, statuses=(TrialStatus.RUNNING,)),
    "mixed": with_gallery(make_study(40, statuses=MIXED, linked=True)),
}


@pytest.fixture(scope="module")
def pages() -> dict[str, PageReader]:
    return {name: PageReader(render_page(study)) for name, study in STUDIES.items()}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("empty", "Nothing has been run yet."),
        ("one", "One network on the front: 88.00% at 45% of the FLOPs."),
        ("failed", "No network came out of 5 trials."),
        ("infeasible", "No network came out of 3 trials."),
        ("running", "No network is finished yet; 2 trials running."),
        ("mixed", "networks on the front: from"),
    ],
)
def test_page_opens_with_what_the_study_found(pages: dict[str, PageReader], name: str, sentence: str) -> None:
    assert sentence in pages[name].text


@pytest.mark.parametrize("name", STUDIES)
def test_page_loads_nothing(pages: dict[str, PageReader], name: str) -> None:
    loads = pages[name].loads
    assert loads[0] == "data:,"  # an empty icon, so that browsers do not ask for one
    assert all(address.startswith("data:image/png;base64,") for address in loads[1:])
    assert (len(loads) > 1) == (name == "mixed")
    ours = "".join(script for script in pages[name].scripts if "plotly.js v" not in script[:200])
    assert "fetch(" not in ours
    assert "import(" not in ours
    assert "showSendToCloud: false" in ours
    study = STUDIES[name]
    runs = {study.run_url(record.number) for record in study.records}
    assert {link for link in pages[name].links if not link.startswith("#")} <= runs
    assert set(re.findall(r"https?://[^\"\s\\]+", ours)) <= runs


@pytest.mark.parametrize("name", STUDIES)
def test_links_within_the_page_lead_somewhere(pages: dict[str, PageReader], name: str) -> None:
    anchors = {link.removeprefix("#") for link in pages[name].links if link.startswith("#")}
    assert anchors <= set(pages[name].ids)
    assert len(set(pages[name].ids)) == len(pages[name].ids)


def test_page_holds_one_copy_of_plotly_unless_there_is_nothing_to_plot(pages: dict[str, PageReader]) -> None:
    copies = {
        name: sum("plotly.js v" in script[:200] for script in page.scripts) for name, page in pages.items()
    }
    assert copies == {"empty": 0, "one": 1, "failed": 1, "infeasible": 0, "running": 1, "mixed": 1}
    assert "</script" not in get_plotlyjs().lower()


def test_page_stays_small() -> None:
    assert len(render_page(STUDIES["mixed"]).encode()) < 5.2 * MEGABYTE
    assert len(render_page(STUDIES["empty"]).encode()) < 0.1 * MEGABYTE


def test_page_tells_why_trials_failed_and_were_infeasible(pages: dict[str, PageReader]) -> None:
    assert "NonFiniteLossError: the loss of stage 'gates' is nan" in pages["mixed"].text
    assert "the narrowest network allowed still needs 36.1%" in pages["mixed"].text
    assert "trial 0, 1, 2, 3, 4" in pages["failed"].text


def test_page_names_the_commands_to_type_next(pages: dict[str, PageReader]) -> None:
    assert "prunefront pick cifar10-resnet20 --knee" in pages["mixed"].text
    assert re.search(
        r"prunefront pick cifar10-resnet20 --max-flops \d+% --min-accuracy \d+%", pages["mixed"].text
    )
    assert re.search(r"prunefront export cifar10-resnet20 \d+", pages["mixed"].text)
    assert "prunefront resume cifar10-resnet20" in pages["running"].text
    assert "prunefront pick" not in pages["failed"].text


def test_page_explains_its_conventions(pages: dict[str, PageReader]) -> None:
    for page in pages.values():
        assert "FLOPs (MACs)" in page.text
        assert "Validation and test" in page.text


def test_every_figure_has_its_place_and_its_labels(pages: dict[str, PageReader]) -> None:
    page = pages["mixed"]
    figures = {name.removeprefix("figure-") for name in page.ids if name.startswith("figure-")}
    assert figures == {name.removeprefix("plot-") for name in page.ids if name.startswith("plot-")}
    by_id = dict(
        zip([name for name in page.ids if name.startswith(("figure-", "labels"))], page.scripts, strict=False)
    )
    labels = json.loads(by_id["labels"])
    front = json.loads(by_id["figure-accuracy_macs"])["data"][2]
    assert front["meta"]["shared"] == ["text", "customdata"]
    assert all(labels[position].startswith("<b>Trial ") for position in front["text"])
    assert all(labels[position].startswith("http://127.0.0.1:5000/") for position in front["customdata"])


def hostile_study() -> StudyRecords:
    record = make_record(0).model_copy(
        update={
            "varied": {HOSTILE: HOSTILE, "seed": 1},
            "method": HOSTILE,
            "config": {HOSTILE: {HOSTILE: HOSTILE}},
            "kept": {HOSTILE: (1, 2)},
            "stage_seconds": {HOSTILE: 3.0},
        }
    )
    failed = make_record(1, status=TrialStatus.FAILED).model_copy(update={"reason": HOSTILE})
    return study_of([record, make_record(2), failed]).model_copy(
        update={
            "study": HOSTILE,
            "version": HOSTILE,
            "machine": {HOSTILE: HOSTILE},
            "constraints": {"macs": HOSTILE},
            "gallery": make_gallery([0], class_names=(HOSTILE, "b")).model_copy(update={"note": HOSTILE}),
        }
    )


def test_a_page_shows_a_gallery_or_why_there_is_none(pages: dict[str, PageReader]) -> None:
    page = pages["mixed"]
    assert "explanations" in page.ids
    assert "that of trial 0, whatever the method: 2 bumps each, and they keep 80%" in page.text
    assert "2 further networks of the front are not shown." in page.text
    assert "layer1.0.conv1 cat" in page.text
    assert len(page.loads) == 1 + 2 * 3  # the icon; two images, each under the masks of three networks
    study = make_study(3)
    assert "explanations" not in PageReader(render_page(study)).ids
    without = PageReader(render_page(study.model_copy(update={"no_gallery": "No trial trained a selector."})))
    assert "No trial trained a selector." in without.text


def test_a_gallery_of_many_classes_lists_those_that_lost_most() -> None:
    study = make_study(30)
    names = [f"class {label}" for label in range(300)]
    gallery = make_gallery([study.records[0].number], class_names=names)
    page = PageReader(render_page(study.model_copy(update={"gallery": gallery})))
    assert "260 classes that keep more of their detectors are not listed." in page.text


def test_markup_in_names_and_values_is_shown_not_run() -> None:
    page = render_page(hostile_study())
    assert HOSTILE not in page
    assert "<script>alert" not in page
    reader = PageReader(page)
    assert HOSTILE in reader.text
    assert len(reader.scripts) == len(PageReader(render_page(make_study(2))).scripts)
    for script in reader.scripts[:3]:
        json.loads(script)


def test_the_stage_table_shows_memory_only_where_it_was_measured() -> None:
    measured = make_record(0).model_copy(
        update={
            "stage_seconds": {"steer": 2.0},
            "cached_stages": ("dense",),
            "stage_peak_memory_mb": {"steer": 812.5, "dense": 2345.6},
        }
    )
    page = render_page(study_of([measured]))
    assert "Peak memory</th>" in page
    assert "<td>812MB</td>" in page
    assert "<td>shared</td><td></td><td>0</td><td>1</td><td>2.35GB</td>" in page
    assert "Peak memory</th>" not in render_page(make_study(2))


def test_columns_appear_only_where_something_was_measured() -> None:
    plain = study_of([record_with(0, 0.9, 500_000, 50_000)])
    tested = study_of(
        [
            plain.records[0].model_copy(
                update={"test": TestScores(num_images=2000, num_correct=1777, num_correct_dense=1800)}
            )
        ]
    )
    assert "Test accuracy" not in PageReader(render_page(plain)).text
    assert "88.85%" in PageReader(render_page(tested)).text


def test_report_is_a_page_tables_and_figures(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    files = write_report(STUDIES["mixed"], folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "figures",
        "front.csv",
        "front.parquet",
        "report.html",
        "trials.csv",
        "trials.parquet",
    ]
    assert {files.page, *files.tables, *files.figures} == {
        path for path in folder.rglob("*") if path.is_file()
    }
    assert files.page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert len(pd.read_csv(folder / "trials.csv")) == len(pd.read_parquet(folder / "trials.parquet")) == 40
    assert 0 < len(pd.read_csv(folder / "front.csv")) < 40


def test_report_replaces_an_older_one(tmp_path: Path) -> None:
    write_report(STUDIES["one"], tmp_path)
    files = write_report(STUDIES["empty"], tmp_path)
    assert "Nothing has been run yet" in files.page.read_text(encoding="utf-8")
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_failed_write_leaves_the_older_page_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_report(STUDIES["empty"], tmp_path)
    before = files.page.read_text(encoding="utf-8")

    def full_disk(*_: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    there = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="no space left"):
        write_report(STUDIES["one"], tmp_path)
    assert files.page.read_text(encoding="utf-8") == before
    assert sorted(tmp_path.rglob("*")) == there


@pytest.mark.slow
def test_report_of_a_long_study_is_quick_and_small(tmp_path: Path) -> None:
    """The bound is a generous one; `benchmarks.long_study` measures."""
    study = with_gallery(make_study(2_000, statuses=MIXED, linked=True))
    start = time.process_time()
    files = write_report(study, tmp_path)
    assert time.process_time() - start < 30
    assert files.page.stat().st_size < 6 * MEGABYTE
