"""Searches on clusters whose nodes have too little, or share what they have: GPUs that are claimed and not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pruning_core.config import PruningConfig
from reports.records import TrialStatus
from search.backend import BackendSettings
from search.execution import node_watch
from search.execution.cluster import joined_cluster
from search.execution.node_watch import NodeWatch
from search.execution.ray_session import worker_environment
from search.spec import dump_spec
from search.spec_settings import ResourcesConfig
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from tests.integration_tests.ray_nodes import RayNodes
from tests.search_tests.synthetic_backend import SyntheticBackend
from tests.search_tests.synthetic_search import make_spec

pytestmark = [pytest.mark.integration, pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
OURS = f"PYTHONPATH={ROOT}"  # tests are not sent to a cluster's machines
PATIENCE_S = 300
MEETING_S = 120  # workers of a cluster start one by one, and the first would run everything meanwhile
SLOTS = 2
NUM_TRIALS = SLOTS + 2
DRIVER = """
import sys
from pathlib import Path
from rich.console import Console
from search.driver import run_search
from search.spec import load_spec
from search.studies.folder import StudyFolder

root, factory, address = sys.argv[1:]
spec = load_spec(Path(root, "spec.yaml"))
run_search(
    spec, StudyFolder(Path(root), spec.study), resume=False, console=Console(), backend=factory, address=address
)
"""


class WatchedGpuBackend(SyntheticBackend):
    """Notes which GPU each trial had and when; trials last until as many have begun as there are slots."""

    def __init__(self, settings: BackendSettings) -> None:
        super().__init__(settings)
        self._device, self._folder = settings.device, Path(settings.artifacts)

    def run_trial(self, config: PruningConfig) -> Mapping[str, Any]:
        name = self.plan(config).trial_key
        self._note(f"{name}.begun", {})
        began_at = time.time()
        give_up_at = time.monotonic() + MEETING_S
        while len(list(self._folder.glob("*.begun"))) < SLOTS and time.monotonic() < give_up_at:
            time.sleep(0.1)
        result = super().run_trial(config)
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._note(f"{name}.use", {"gpu": gpu, "device": self._device, "span": (began_at, time.time())})
        return result

    def _note(self, name: str, content: Mapping[str, Any]) -> None:
        (self._folder / name).write_text(json.dumps(content), encoding="utf-8")


def create(settings: BackendSettings) -> WatchedGpuBackend:
    return WatchedGpuBackend(settings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """The GPU that one trial saw, and from when to when."""

    gpu: str | None
    device: str
    span: tuple[float, float]


@pytest.fixture
def nodes(request: pytest.FixtureRequest) -> Iterator[RayNodes]:
    """Nodes as `RayNodes` takes them; the first is the head."""
    with RayNodes(*request.param) as started:
        yield started


@pytest.mark.parametrize(
    ("nodes", "share", "gpus"),
    [
        pytest.param((0, f"4,gpus=1,{OURS}"), 0.5, ["0"], id="two share one"),
        pytest.param((0, f"4,gpus=2,{OURS}"), 0.6, ["0", "1"], id="no share is divided between two"),
    ],
    indirect=["nodes"],
)
def test_trials_of_a_cluster_share_gpus(
    tmp_path: Path, nodes: RayNodes, share: float, gpus: list[str]
) -> None:
    spec = make_spec(resources={"gpus_per_trial": share}, limits={"trials": NUM_TRIALS})
    (tmp_path / "spec.yaml").write_text(dump_spec(spec))
    out = run_driver(tmp_path, nodes.address)
    assert f"up to {NUM_TRIALS} trials, {SLOTS} at once" in out
    folder = StudyFolder(tmp_path, spec.study)
    assert [record.status for record in read_study(folder).records] == [TrialStatus.COMPLETE] * NUM_TRIALS
    uses = read_uses(folder.artifacts_path)
    assert len(uses) == NUM_TRIALS
    assert {use.device for use in uses} == {"cuda"}
    assert {use.gpu for use in uses} == set(gpus)
    assert most_at_once(uses) == SLOTS
    for gpu in gpus:
        assert most_at_once([use for use in uses if use.gpu == gpu]) == SLOTS // len(gpus)


def run_driver(root: Path, address: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}){DRIVER}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), f"{__name__}:create", address],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_uses(folder: Path) -> list[Use]:
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.use")]
    return [Use(**{**note, "span": tuple(note["span"])}) for note in notes]


def most_at_once(uses: list[Use]) -> int:
    """Return how many trials ran together at most; each moment with the most is a moment at which one begins."""
    return max(sum(use.span[0] <= other.span[0] < use.span[1] for use in uses) for other in uses)


@pytest.mark.parametrize("nodes", [(0, 1)], indirect=True)
def test_a_head_that_runs_no_trials_is_told_from_a_machine_that_does(
    nodes: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_watch, "_INTERVAL_S", 0.1)
    monkeypatch.setattr(node_watch, "_PATIENCE_S", 1.0)
    said: list[str] = []
    with joined_cluster(nodes.address, environment=worker_environment(1), plug_ins=None):
        watch = NodeWatch(resources=ResourcesConfig(), say=said.append)
        look_for(watch, said, seconds=2)
        assert said == []
        nodes.kill(1)
        look_for(watch, said, seconds=60, num_lines=1)
        assert "one needs 1 CPUs and 0 GPUs, but alive are 1 with 0 CPUs and 0 GPUs;" in said[0]
        nodes.add(2)
        look_for(watch, said, seconds=60, num_lines=2)
        assert said[1:] == ["a machine of the cluster has what a trial needs: the search goes on"]


def look_for(watch: NodeWatch, said: list[str], *, seconds: float, num_lines: int = 1) -> None:
    """Let the watch look until it has said so much, or for so long."""
    give_up_at = time.monotonic() + seconds
    while len(said) < num_lines and time.monotonic() < give_up_at:
        watch.check()
        time.sleep(0.1)
