"""The driver without Ray and MLflow, which are replaced at our own seams: items run in this process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray.tune.search import Searcher

from reports.records import StudyRecords
from search import driver, session
from search.backend import BackendSettings
from search.execution import ray_place
from search.execution.ray_searcher import RaySearcher
from search.execution.worker import METRIC, execute_item
from search.work_items import WorkItem

__all__ = ["Tracker", "replace_seams", "run_in_process"]


class Tracker:
    def __init__(self) -> None:
        self.num_written = 0

    def sync(self, study: StudyRecords, final_status: str | None = None) -> None:  # noqa: ARG002 - the protocol's
        self.num_written = len(study.records)

    def interrupt(self) -> None:
        """Nothing lasts here."""

    def close(self) -> None:
        """Nothing is held."""


def run_in_process(
    searcher: RaySearcher,
    *,
    slots: int,
    resources: Mapping[str, float],
    folder: Path,
    on_step: Callable[[], None],
    on_death: Callable[[str, str], None],
    max_failures: int,
) -> None:
    """Run one item after the other, as Ray Tune would through the searcher."""
    assert slots >= 1
    assert resources["cpu"] == 1
    assert folder.is_dir()
    assert max_failures == 1
    assert on_death == searcher.note_death
    for number in itertools.count():
        on_step()
        config = searcher.suggest(str(number))
        if config == Searcher.FINISHED:
            return
        packed = json.loads(config["packed"])
        if "item" not in packed:
            searcher.on_trial_complete(str(number), {METRIC: 0, "done": True})
            continue
        outcome = execute_item(
            WorkItem.from_plain(packed["item"]), packed["config"], BackendSettings(**packed["backend"])
        )
        searcher.on_trial_complete(
            str(number), {METRIC: 1, "outcome": json.dumps(outcome.to_plain()), "done": True}
        )


def replace_seams(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    """No Ray, no MLflow, no waiting."""

    @contextmanager
    def no_ray(**_: object) -> Iterator[Path]:
        yield scratch

    monkeypatch.setattr(ray_place, "local_ray", no_ray)
    monkeypatch.setattr(driver, "run_items", run_in_process)
    monkeypatch.setattr(session, "ProjectionProcess", lambda *_: Tracker())
    monkeypatch.setattr(driver, "FINISHED", session.EndReason("finished", "FINISHED", 1.0))
