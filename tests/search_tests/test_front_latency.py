"""After a search by a table of latencies, its front is measured end to end, where the table is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.latency.measuring import device_name
from pruning_core.latency.table import write_latency_table
from reports.records import StudyRecords
from search.commands.front_latency import goes_by_latency, measure_front
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from tests.pruning_core_tests.latency_tables import made_up_table
from tests.search_tests.finished_study import make_finished_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_finished_study(tmp_path_factory.mktemp("finished"))


def with_latencies(folder: StudyFolder) -> StudyRecords:
    """Return the study as if its search had gone by a table."""
    study = read_study(folder)
    first, *others = study.records
    assert first.scores is not None
    scores = first.scores.model_copy(update={"latency_ms": 0.5, "dense_latency_ms": 1.0})
    return study.model_copy(update={"records": (first.model_copy(update={"scores": scores}), *others)})


def name_table(folder: StudyFolder, path: Path, device: str) -> None:
    """Have the spec name a table of a device."""
    table = made_up_table("concatenated").model_copy(update={"device": device, "batch_size": 2})
    write_latency_table(table, path)
    text = folder.spec_path.read_text()
    lines = [line for line in text.splitlines() if "latency_table" not in line]
    run = next(index for index, line in enumerate(lines) if line.startswith("run:"))
    lines.insert(run + 1, f"  latency_table: {path}")
    folder.spec_path.write_text("\n".join(lines) + "\n")


def test_searches_without_a_table_are_told_apart(finished: StudyFolder) -> None:
    assert not goes_by_latency(read_study(finished))
    assert goes_by_latency(with_latencies(finished))


def test_the_front_is_measured_as_the_table_was_and_the_error_shown(
    finished: StudyFolder, tmp_path: Path
) -> None:
    name_table(finished, tmp_path / "table.json", device_name("cpu"))
    study, lines = measure_front(with_latencies(finished), finished)
    (measurement,) = study.latencies
    assert measurement.batch_size == 2
    assert [network.trial for network in measurement.networks] == [None, 0]
    assert any("table error" in line for line in lines)


def test_the_table_of_another_device_is_not_compared_here(finished: StudyFolder, tmp_path: Path) -> None:
    name_table(finished, tmp_path / "table.json", "a phone")
    before = with_latencies(finished)
    assert measure_front(before, finished) == (
        before,
        ["latencies are by the table of a phone; this machine is another"],
    )


def test_a_table_that_is_gone_spoils_nothing(
    finished: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name_table(finished, tmp_path / "table.json", device_name("cpu"))
    (tmp_path / "table.json").unlink()
    before = with_latencies(finished)
    assert measure_front(before, finished) == (before, [])
    assert "the front was not measured: latency_table must be a table" in capsys.readouterr().err
