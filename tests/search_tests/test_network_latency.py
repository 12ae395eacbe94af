"""``prunefront latency STUDY``: measured, kept, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pruning_core.errors import StorageError
from reports.latency_records import LatencyMeasurement
from search.cli import app
from search.commands.network_latency import latency_lines
from search.studies.folder import StudyFolder
from search.studies.latencies import add_latencies, read_latencies
from search.studies.records import read_study
from tests.reports_tests.latency_cases import measurement, network
from tests.search_tests.finished_study import make_finished_study
from tests.search_tests.stored_studies import store_study, write_spec

runner = CliRunner()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_finished_study(tmp_path_factory.mktemp("finished"))


def latency(folder: StudyFolder, *arguments: str) -> Result:
    return runner.invoke(app, ["latency", "tiny", *arguments, "--storage", str(folder.root)])


def test_the_front_is_measured_beside_the_dense_network_and_kept_with_the_study(
    finished: StudyFolder,
) -> None:
    result = latency(finished, "--repeats", "7", "--warm-up", "1", "--batch-size", "2")
    assert result.exit_code == 0, result.output
    assert "batches of 2, 1 thread, 7 passes of each network in turns after 1 to warm up" in result.stdout
    (kept,) = read_study(finished).latencies
    assert [one.trial for one in kept.networks] == [None, 0]
    assert all(one.times.keys() == {"onnxruntime", "torch"} for one in kept.networks)
    assert all(times.p90_ms >= times.median_ms > 0 for one in kept.networks for times in one.times.values())
    assert {"processor", "cores", "torch", "onnxruntime"} <= kept.machine.keys()
    record = read_study(finished).records[0]
    assert record.scores is not None
    assert [one.macs for one in kept.networks] == [record.scores.dense_macs, record.scores.macs]
    assert kept.dense_of(kept.networks[1]) == kept.networks[0]


def test_a_trial_can_be_named_and_measured_in_one_runtime_as_json(finished: StudyFolder) -> None:
    result = latency(finished, "0", "0", "--repeats", "2", "--runtimes", "torch", "--threads", "2", "--json")
    assert result.exit_code == 0, result.output
    found = LatencyMeasurement.model_validate_json(result.stdout)
    assert (found.num_threads, found.passes) == (2, 2)
    assert [list(one.times) for one in found.networks] == [["torch"], ["torch"]]
    assert read_latencies(finished)[-1] == found


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["7"], "study 'tiny' has no trial 7"),
        (["1"], "trial 1 must be complete to have a network"),
        (["0", "--runtimes", "tvm"], "runtimes must be some of onnxruntime, torch, but got 'tvm'"),
        (["0", "--grid-points", "3"], "--grid-points is of layers, for a spec, which 'tiny' is not"),
        (["0", "--device", "cuda"], "are measured on the cpu, but --device is 'cuda'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    finished: StudyFolder, arguments: list[str], problem: str
) -> None:
    before = read_latencies(finished)
    result = latency(finished, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert read_latencies(finished) == before


def test_a_study_without_a_front_is_refused(tmp_path: Path) -> None:
    result = latency(store_study(tmp_path, []))
    assert result.exit_code == 2
    assert "must have a network on its front to measure, but has none" in result.stderr


@pytest.mark.parametrize("target", ["missing.yaml", "some/where"])
def test_what_is_written_like_a_file_is_taken_for_a_spec(target: str) -> None:
    result = runner.invoke(app, ["latency", target])
    assert result.exit_code == 2
    assert "a spec must be a readable file" in result.stderr


@pytest.mark.parametrize("option", [["--json"], ["--runtimes", "torch"], ["--warm-up", "3"]])
def test_options_of_networks_are_refused_for_a_spec(tmp_path: Path, option: list[str]) -> None:
    result = runner.invoke(app, ["latency", str(write_spec(tmp_path)), *option])
    assert result.exit_code == 2
    assert f"{option[0]} is of networks, for a study, which" in result.stderr


# ---- what is kept


def test_networks_measured_again_under_the_same_conditions_replace_their_old_times(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [])
    dense = network(None, 1000, torch=2.0)
    first = measurement(dense, network(0, 600, torch=1.0), network(1, 300, torch=0.5))
    again = measurement(dense, network(0, 600, torch=1.1), measured_at=1_790_000_900.0)
    threads = measurement(dense, network(0, 600, torch=0.6), num_threads=2)
    for one in (first, threads, again):
        add_latencies(folder, one)
    kept = read_latencies(folder)
    assert kept == (measurement(dense, network(1, 300, torch=0.5)), threads, again)
    last = measurement(dense, network(1, 300, torch=0.4))
    add_latencies(folder, last)
    assert read_latencies(folder) == (threads, again, last)


@pytest.mark.parametrize("content", [b"", b"{}}", b'{"schema_version": 2}', b"\xff"])
def test_a_file_that_holds_no_latencies_is_told(tmp_path: Path, content: bytes) -> None:
    folder = store_study(tmp_path, [])
    folder.latencies_path.write_bytes(content)
    with pytest.raises(StorageError, match=r"latencies\.json must hold measured latencies, but does not"):
        read_study(folder)


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    folder = store_study(tmp_path, [])
    add_latencies(folder, measurement(network(0, 600, torch=1.0)))
    assert json.loads(folder.latencies_path.read_text())["measurements"][0]["networks"][0]["trial"] == 0


# ---- what is shown


def test_slower_networks_and_the_error_of_the_table_are_shown() -> None:
    found = measurement(
        network(None, 1_000_000, table_ms=1.5, torch=2.0, onnxruntime=1.0),
        network(4, 600_000, table_ms=0.9, torch=1.0, onnxruntime=1.2),
    )
    lines = [line.split() for line in latency_lines(found)]
    assert lines[0] == ["processor", "made", "up,", "cores", "2"]
    ort, torch = lines.index(["onnxruntime"]), lines.index(["torch"])
    assert lines[ort + 1] == ["trial", "FLOPs", "(MACs)", "median", "p90", "of", "dense"]
    assert lines[ort + 3] == ["4", "600K", "1.2", "ms", "1.5", "ms", "120.0%"]
    assert lines[torch + 2] == ["dense", "1.00M", "2", "ms", "2.5", "ms", "100.0%", "1.5", "ms", "-25.0%"]
    assert lines[torch + 3] == ["4", "600K", "1", "ms", "1.25", "ms", "50.0%", "0.9", "ms", "-10.0%"]
    assert latency_lines(found)[-1] == (
        "warning: trial 4 is slower in onnxruntime than the dense network: by 20%"
    )


def test_no_line_is_longer_than_a_terminal() -> None:
    found = measurement(
        network(None, 1_000_000, table_ms=1.5, torch=2.0), network(4, 600_000, table_ms=0.9, torch=1.0)
    )
    assert max(len(line) for line in latency_lines(found)) <= 80
