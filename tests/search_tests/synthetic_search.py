"""Searches without Ray: the real proposer and study over the synthetic backend, items finishing in any order."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.records import RungScores, TrialRecord
from search.backend import BackendSettings, load_backend
from search.execution.worker import execute_item
from search.outcomes import ItemOutcome
from search.proposer import Proposer
from search.spec import SearchSpec, dump_spec
from search.studies.folder import StudyFolder
from search.studies.study import open_search_study
from search.timeline import Timeline
from search.work_items import WorkItem
from tests.search_tests.synthetic_backend import FACTORY

GRID: dict[str, Any] = {
    "budgets.macs": {"choices": [0.4, 0.6]},
    "saliency.num_basis": {"choices": [1, 2, 4]},
    "loss_weights.steering": {"choices": [0.1, 1.0]},
}


def make_spec(*, search: Mapping[str, Any] = GRID, **changes: Any) -> SearchSpec:
    """Return a spec whose stages and trials take about a millisecond."""
    plain: dict[str, Any] = {
        "study": "demo",
        "run": {"budgets": {"macs": 0.5}, "gates": {"steps": 1}, "saliency": {"selector": {"epochs": 1}}},
        "search": dict(search),
        "limits": {"trials": 12},
        "sampler": {"name": "random"},
    }
    return SearchSpec.model_validate({**plain, **changes})


def make_folder(root: Path, spec: SearchSpec) -> StudyFolder:
    """Return the folder of a study that was just launched."""
    folder = StudyFolder(root, spec.study)
    folder.create(dump_spec(spec))
    return folder


class SyntheticSearch:
    """One driver's work on a study, item by item, in this process.

    ``handed_out`` lists what was started, ``rungs`` what was reached, ``records`` what was told, in order.
    """

    def __init__(
        self, spec: SearchSpec, folder: StudyFolder, *, slots: int = 2, seed: int = 0, **proposer: Any
    ) -> None:
        self.folder = folder
        self.slots = slots
        self._random = random.Random(seed)
        self._settings = BackendSettings(factory=FACTORY, artifacts=str(folder.artifacts_path))
        self.running: list[WorkItem] = []
        self.handed_out: list[WorkItem] = []
        self.rungs: list[tuple[int, RungScores]] = []
        self.records: list[TrialRecord] = []
        self.study = open_search_study(folder, spec)
        timeline = Timeline(folder.timeline_path)
        timeline.begin_session(at=0.0, slots=slots, pid=1)
        self.proposer = Proposer(
            spec=spec,
            study=self.study,
            backend=load_backend(self._settings),
            timeline=timeline,
            listener=self,
            slots=slots,
            **proposer,
        )
        adopted, finished = self.study.adopt(), self.study.finished()
        self.adopted = [asked.number for asked in adopted]
        self.proposer.begin(adopted, finished)

    def item_started(self, item: WorkItem) -> None:
        self.handed_out.append(item)

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        assert item in self.handed_out
        assert outcome.finished_at >= outcome.started_at

    def rung_reached(self, number: int, rung: RungScores) -> None:
        self.rungs.append((number, rung))

    def trial_finished(self, record: TrialRecord) -> None:
        self.records.append(record)

    def fill_slots(self) -> None:
        """Start items until all slots are busy or nothing is ready."""
        while len(self.running) < self.slots:
            item = self.proposer.next_item()
            if item is None:
                return
            self.running.append(item)

    def step(self) -> None:
        """Fill the slots, then let one of the running items finish."""
        self.fill_slots()
        item = self.running.pop(self._random.randrange(len(self.running)))
        config = self.proposer.config_of(item)
        self.proposer.finish_item(item, execute_item(item, config, self._settings))

    def run(self, num_steps: int = 10_000) -> None:
        """Go on to the end, or for some steps."""
        for _ in range(num_steps):
            self.fill_slots()
            if not self.running:
                assert self.proposer.is_finished
                return
            self.step()
