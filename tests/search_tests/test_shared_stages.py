"""A shared stage that fails: built again, missed by some trials, or the end of the search for now."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import FailedStageError
from reports.records import TrialStatus
from search.spec import SearchSpec
from search.work_items import ItemKind
from tests.search_tests import synthetic_backend
from tests.search_tests.synthetic_backend import BROKEN_SELECTOR, NO_ROOM_AT_FIRST
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec


def spec_of(seed: int, search: dict[str, Any], **limits: int) -> SearchSpec:
    run = {
        "budgets": {"macs": 0.5},
        "gates": {"steps": 1},
        "saliency": {"selector": {"epochs": 1}},
        "seed": seed,
    }
    return make_spec(run=run, search=search, limits={"trials": 6, **limits})


MACS = {"budgets.macs": {"low": 0.3, "high": 0.9}}


@pytest.mark.parametrize("batch", [None, 1])
def test_a_stage_that_all_need_ends_the_search_and_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int | None
) -> None:
    spec = spec_of(BROKEN_SELECTOR, MACS)
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder, slots=1, batch=batch)
    with pytest.raises(FailedStageError) as failure:
        search.run()
    assert str(failure.value) == (
        "shared stage 'selector' must be built, as every configuration of this search needs it, but it failed: "
        "the loss of stage 'selector' must be finite, but got nan; mend that and type `prunefront resume demo`, or "
        "launch another study with other settings"
    )
    assert search.study.finished() == []
    monkeypatch.setattr(synthetic_backend, "BROKEN_SELECTOR", None)  # mended
    again = SyntheticSearch(spec, folder, slots=1, batch=batch)
    assert again.adopted
    again.run()
    assert Counter(record.status for record in again.study.finished()) == {TrialStatus.COMPLETE: 6}


def test_a_stage_that_some_need_fails_those(tmp_path: Path) -> None:
    spec = spec_of(
        0, {"seed": {"choices": [0, BROKEN_SELECTOR]}, "budgets.macs": {"choices": [0.4, 0.6, 0.8]}}
    )
    search = SyntheticSearch(spec, make_folder(tmp_path, spec), slots=1)
    search.run()
    assert Counter((record.seed, record.status) for record in search.records) == {
        (0, TrialStatus.COMPLETE): 3,
        (BROKEN_SELECTOR, TrialStatus.FAILED): 3,
    }


def test_a_stage_without_memory_is_built_again(tmp_path: Path) -> None:
    spec = spec_of(NO_ROOM_AT_FIRST, MACS)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert [record.status for record in search.records] == [TrialStatus.COMPLETE] * 6
    stages = Counter(item.name for item in search.handed_out if item.kind is ItemKind.STAGE)
    assert stages == {"dense": 2, "predictor": 1, "selector": 1}


def test_a_stage_is_built_again_as_often_as_is_allowed(tmp_path: Path) -> None:
    spec = spec_of(NO_ROOM_AT_FIRST, MACS, memory_retries=0)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    with pytest.raises(FailedStageError, match=r"'dense' .* MemoryError: others use it"):
        search.run()
