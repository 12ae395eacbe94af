"""MLflow written by another process, into a real sqlite store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmarks.faults import lives
from pruning_core.errors import StorageError
from reports.records import StudyRecords
from search.tracking.process import ProjectionProcess
from search.tracking.writer import StudyAddress
from tests.processes import wait_for
from tests.reports_tests.synthetic import make_study
from tests.search_tests.mlflow_stores import make_store, place_in

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own use of sqlalchemy
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves connections to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NUM_TRIALS = 6
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, which takes seconds to create."""
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def address(store: Path, request: pytest.FixtureRequest) -> StudyAddress:
    """An experiment of the test's own."""
    return place_in(store, request.node.name)


@contextmanager
def opened(address: StudyAddress) -> Iterator[ProjectionProcess]:
    projection = ProjectionProcess(address, {})
    try:
        yield projection
    finally:
        projection.close()


def first(num_trials: int) -> StudyRecords:
    study = make_study(NUM_TRIALS)
    return study.model_copy(update={"records": study.records[:num_trials]})


def runs_in(address: StudyAddress) -> list[str]:
    """Return the names of all runs of the experiment, sorted."""
    client = MlflowClient(tracking_uri=address.uri)
    experiment = client.get_experiment_by_name(address.study)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert all(run.info.status != "RUNNING" for run in runs)
    return sorted(run.info.run_name for run in runs)


def names(study: str) -> list[str]:
    return sorted([study, *(f"trial-{number:04d}" for number in range(NUM_TRIALS))])


def test_each_trial_is_told_once_and_written_once(address: StudyAddress) -> None:
    with opened(address) as projection:
        projection.sync(first(2))
        assert projection.num_written == 2
        pid = projection.pid
        projection.sync(first(5))
        projection.sync(first(NUM_TRIALS), "FINISHED")
        assert projection.num_written == NUM_TRIALS
        assert projection.pid == pid
    assert pid is not None
    assert not lives(pid)
    assert runs_in(address) == names(address.study)


def test_a_process_that_was_killed_is_started_again_and_writes_nothing_twice(address: StudyAddress) -> None:
    with opened(address) as projection:
        projection.sync(first(3))
        assert projection.pid is not None
        os.kill(projection.pid, signal.SIGKILL)
        with pytest.raises(StorageError, match=r"must live as long as the search, but ended .exit status -9"):
            projection.sync(first(4))
        projection.sync(first(NUM_TRIALS), "FINISHED")
        assert projection.num_written == NUM_TRIALS
    assert runs_in(address) == names(address.study)


def test_the_next_driver_s_process_waits_for_the_last_one_s(address: StudyAddress) -> None:
    with opened(address) as earlier, opened(address) as later:
        earlier.sync(first(3))
        waiting = threading.Thread(target=later.sync, args=(first(NUM_TRIALS), "FINISHED"))
        waiting.start()
        waiting.join(3)
        assert waiting.is_alive()
        earlier.close()
        waiting.join(60)
        assert later.num_written == NUM_TRIALS
    assert runs_in(address) == names(address.study)


def test_what_ails_mlflow_is_told(address: StudyAddress, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    elsewhere = replace(
        address, uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", runs_path=tmp_path / "runs.json"
    )
    with opened(elsewhere) as projection:
        with pytest.raises(StorageError, match=r"NotADirectoryError: .*mlflow.db"):
            projection.sync(first(2))
        assert projection.num_written == 0


def test_a_process_that_breaks_says_why(address: StudyAddress, tmp_path: Path) -> None:
    elsewhere = replace(address, runs_path=tmp_path / "no such folder" / "runs.json")
    with (
        opened(elsewhere) as projection,
        pytest.raises(StorageError, match=r"exit status 1: FileNotFoundError"),
    ):
        projection.sync(first(2))


def test_a_server_that_never_answers_can_be_interrupted(address: StudyAddress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere = replace(address, uri=f"http://127.0.0.1:{silent.getsockname()[1]}", files_uri=None)
        with opened(elsewhere) as projection:
            problems: list[str] = []

            def sync() -> None:
                try:
                    projection.sync(first(2))
                except StorageError as error:
                    problems.append(str(error))

            waiting = threading.Thread(target=sync)
            waiting.start()
            silent.accept()[0].close()  # it asks
            projection.interrupt()
            waiting.join(5)
            assert len(problems) == 1
            assert "ended (exit status -9" in problems[0]


DRIVER = """
import sys
from pathlib import Path
from search.tracking.process import ProjectionProcess
from tests.reports_tests.synthetic import make_study
from tests.search_tests.mlflow_stores import place_in

projection = ProjectionProcess(place_in(Path(sys.argv[1]), sys.argv[2]), {})
projection.sync(make_study(2))
print(projection.pid, flush=True)
sys.stdin.read()
"""


def test_the_process_ends_with_a_driver_that_is_killed(store: Path, address: StudyAddress) -> None:
    line = [sys.executable, "-c", DRIVER, str(store), address.study]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        assert lives(pid)
        driver.kill()
        wait_for(lambda: not lives(pid), "the process to end", patience_s=10)
