"""Talking to a peer's runner, with a peer that needs nothing installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.conversation import converse
from benchmarks.peers.environments import PeerError, make_environment
from benchmarks.peers.methods import PEERS, Peer
from benchmarks.peers.runners.pipe import Field, Measured, Task
from benchmarks.replay_runs import Conditions, replay_peer
from pruning_core.errors import InvalidDataError
from reports.fronts import losses_of, volume_of
from search.replay.backend import ReplayBackend
from search.replay.recording import Recording
from search.replay.surrogate import Surrogate
from tests.search_tests.synthetic_recording import EPOCHS, make_recording

GRID_RUNNER = ("tests.benchmarks_tests.grid_runner",)
TASK = Task(
    fields=[Field(name="x", low=0.0, high=1.0, log=False, whole=False, choices=None)],
    epochs=[1, 2],
    eta=2,
    slots=1,
    seconds=10.0,
    seed=3,
)
CONDITIONS = Conditions(trainings=6, slots=2, eta=3)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return make_recording(30)


@pytest.fixture(scope="module")
def backend(recording: Recording) -> ReplayBackend:
    return ReplayBackend(recording, Surrogate(recording, seed=0))


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """An environment that is this one, as if it had been made."""
    bin_folder = tmp_path / "grid" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    (tmp_path / "grid" / "grid==1.installed").touch()
    return tmp_path


GRID = Peer(environment="grid", requirements=("grid==1",), runner=GRID_RUNNER)


def test_a_runner_gets_answers_and_says_what_it_ran() -> None:
    asked: list[Any] = []

    def answer(values: Any) -> list[Measured]:
        asked.append(values)
        return [Measured(epochs=epochs, losses=[values["x"]], seconds=2.0 * epochs) for epochs in (1, 2)]

    runs = converse(Path(sys.executable), GRID_RUNNER, TASK, answer)
    assert [run["values"] for run in runs] == asked
    assert [(run["begun"], run["ended"]) for run in runs] == [(0.0, 4.0), (4.0, 8.0), (8.0, 12.0)]


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("raise", "ended with: .*RuntimeError: this peer cannot"),
        ("exit", "ended with: nothing; leave the peer"),
    ],
)
def test_a_runner_that_ends_early_is_an_error_with_its_last_words(argument: str, problem: str) -> None:
    with pytest.raises(PeerError, match=problem):
        converse(Path(sys.executable), (*GRID_RUNNER, argument), TASK, lambda _: [])


def test_a_runner_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(PeerError, match="must say what it ran within 1 s"):
        converse(Path(sys.executable), (*GRID_RUNNER, "sleep"), TASK, lambda _: [], limit_s=1.0)


def test_a_peers_networks_are_measured_as_ours(
    recording: Recording, backend: ReplayBackend, environments: Path
) -> None:
    found = replay_peer(recording, backend, GRID, CONDITIONS, 0, environments=environments)
    assert found["seconds"] == pytest.approx(CONDITIONS.seconds(recording), abs=0.01)
    assert 1 <= found["num_complete"] < found["num_configurations"]
    first = found["steps"][0]
    config = recording.spec.make_config(
        {"budgets.macs": 0.2, "fine_tuning.learning_rate": 0.001, "saliency.num_basis": 1}
    )
    scores = backend.scores(config, EPOCHS)
    losses = losses_of(scores, recording.spec.objectives)
    assert first[0] == 1
    assert first[1] == pytest.approx(backend.seconds(config, None), abs=0.01)
    assert first[2] == pytest.approx(volume_of(np.array([losses])), abs=1e-6)


def test_peers_need_their_rungs_recorded_and_no_constraints(
    recording: Recording, backend: ReplayBackend, environments: Path
) -> None:
    with pytest.raises(
        InvalidDataError, match=r"powers of eta, \[1, 2, 4\], but the recording has epochs \[1, 3, 9\]"
    ):
        replay_peer(
            recording,
            backend,
            GRID,
            Conditions(trainings=6, slots=2, eta=2),
            0,
            environments=environments,
        )
    limited = replace(recording, spec=recording.spec.model_copy(update={"constraints": ("accuracy >= 0.5",)}))
    with pytest.raises(InvalidDataError, match=r"has constraints accuracy >= 0\.5; compare without peers"):
        replay_peer(limited, backend, GRID, CONDITIONS, 0, environments=environments)


def test_what_cannot_be_installed_is_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-folder"
    peer = Peer(environment="none", requirements=(str(missing),), runner=GRID_RUNNER)
    with pytest.raises(PeerError, match=r"must be installable into .*none with Python 3.*no-such-folder"):
        make_environment(peer, tmp_path)


def test_peers_may_be_used() -> None:
    assert {peer.licence for peer in PEERS.values()} == {"Apache-2.0"}
