"""Plain-text tables, the front's table, and commands to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from reports.fronts import find_front
from search.front_text import accuracy_with_interval, front_lines
from search.next_steps import command
from search.studies.folder import StudyFolder
from search.text_tables import pair_lines, table_lines
from tests.reports_tests.synthetic import make_study, staircase, study_of


def test_words_stand_left_and_figures_right() -> None:
    assert table_lines(("name", "size"), [("a", "1"), ("long name", "200")]) == [
        "name       size",
        "a             1",
        "long name   200",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table_lines(("a", "b"), []) == ["a  b"]


def test_names_stand_before_values() -> None:
    assert pair_lines([("a", "1"), ("longer", "2"), ("", "3")]) == ["a       1", "longer  2", "        3"]


def test_the_front_stands_below_the_dense_network_most_macs_first() -> None:
    lines = front_lines(find_front(study_of(staircase(4))))
    assert [line.split()[0] for line in lines[:-1]] == ["trial", "dense", "3", "2", "1", "0"]
    assert lines[-1] == "4 networks on the front; accuracy on 1,000 validation images"


def test_memory_and_latency_are_columns_where_a_network_has_them() -> None:
    records = staircase(2)
    assert records[0].scores is not None
    scores = records[0].scores.model_copy(update={"activation_memory": 1_200_000, "latency_ms": 0.8123})
    lines = front_lines(find_front(study_of([records[0].model_copy(update={"scores": scores}), records[1]])))
    assert lines[0].split()[-2:] == ["memory", "latency"]
    assert lines[-2].split()[-3:] == ["1.20MB", "0.812", "ms"]
    assert "memory" not in front_lines(find_front(study_of(records)))[0]


def test_the_front_with_explanations_fits_80_columns() -> None:
    lines = front_lines(find_front(make_study(12)))
    assert lines[0].endswith("params    kept  overlap")
    assert lines[-1] == "overlap: of the explanations with those of the dense network"
    assert max(len(line) for line in lines) <= 80


def test_a_front_without_networks_says_so() -> None:
    assert front_lines(find_front(study_of([]))) == ["no network is on the front yet"]


def test_an_accuracy_is_written_with_the_interval_it_deserves() -> None:
    assert accuracy_with_interval(90, 100) == "90.0% (82.6% - 94.5%)"
    assert accuracy_with_interval(9000, 10_000) == "90.00% (89.40% - 90.57%)"


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("results", "prunefront pick tiny --knee"),
        ("my results", "prunefront pick tiny --knee --storage 'my results'"),
        ("/elsewhere", "prunefront pick tiny --knee --storage /elsewhere"),
    ],
)
def test_a_command_to_type_names_the_storage_where_it_is_not_the_default(
    storage: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = command(StudyFolder(Path(storage), "tiny"), "pick", "--knee")
    assert line == expected
    assert shlex.split(line)[0] == "prunefront"
