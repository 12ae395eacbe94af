from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from ray import tune

from search.backend import STAGES_BACKEND, BackendSettings, load_backend, settings_elsewhere
from search.execution import worker
from search.execution.device_check import is_device_usable
from search.execution.shipped_code import stage_plug_ins
from search.execution.worker import (
    IS_SPENT,
    _meet,
    _wait,
    execute_item,
    pack_item,
    run_work_item,
    unpack_outcome,
)
from search.outcomes import ItemOutcome, OutcomeStatus
from search.studies.folder import StudyFolder
from search.work_items import ItemKind, WorkItem
from spaces import to_plain
from tests.search_tests.synthetic_backend import (
    BROKEN_SELECTOR,
    BUG,
    CRASHES,
    FACTORY,
    FULL_DISK,
    times_run,
)
from tests.search_tests.synthetic_search import make_folder, make_spec

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

STAGES = ("dense", "predictor", "selector")


def execute(
    tmp_path: Path, seed: int = 0, share: float = 0.5, *, stages: tuple[str, ...] = STAGES
) -> ItemOutcome:
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path))
    config = make_spec().make_config({"seed": seed, "budgets.macs": share})
    plan = load_backend(settings).plan(config)
    for stage in plan.stages:
        if stage.name in stages:
            item = WorkItem(kind=ItemKind.STAGE, name=stage.name, key=stage.key, number=0)
            outcome = execute_item(item, to_plain(config), settings)
            if outcome.status is not OutcomeStatus.COMPLETE:
                return outcome
    trial = WorkItem(kind=ItemKind.TRIAL, name="trial", key=plan.trial_key, number=0)
    return execute_item(trial, to_plain(config), settings)


def test_a_finished_trial_comes_back_with_its_result(tmp_path: Path) -> None:
    outcome = execute(tmp_path)
    assert outcome.status is OutcomeStatus.COMPLETE
    assert outcome.result is not None
    assert outcome.result["macs"] == 500_000
    assert outcome.reason is None
    assert outcome.pid > 0


def test_what_is_finished_does_not_run_again(tmp_path: Path) -> None:
    first, second = execute(tmp_path), execute(tmp_path)
    assert set(times_run(tmp_path).values()) == {1}
    assert first.result is not None
    assert second.result is not None
    assert first.result["macs"] == second.result["macs"]


@pytest.mark.parametrize(
    ("seed", "status", "reason"),
    [
        (CRASHES, OutcomeStatus.FAILED, "the loss of stage 'steer' must be finite, but got nan"),
        (BUG, OutcomeStatus.FAILED, "RuntimeError: a bug"),
        (BROKEN_SELECTOR, OutcomeStatus.FAILED, "the loss of stage 'selector' must be finite, but got nan"),
        (
            FULL_DISK,
            OutcomeStatus.NO_STORAGE,
            "the disk must have room for the results, but is full; free some and resume",
        ),
    ],
)
def test_a_worker_hands_back_what_went_wrong(
    tmp_path: Path, seed: int, status: OutcomeStatus, reason: str
) -> None:
    outcome = execute(tmp_path, seed)
    assert (outcome.status, outcome.reason, outcome.result) == (status, reason, None)
    assert outcome.traceback is not None
    assert "synthetic_backend.py" in outcome.traceback


def test_a_machine_without_the_backend_cannot_run_anything(tmp_path: Path) -> None:
    settings = BackendSettings(factory="tests.no_such_module:create", artifacts=str(tmp_path))
    item = WorkItem(kind=ItemKind.TRIAL, name="trial", key="k", number=0)
    outcome = execute_item(item, to_plain(make_spec().run), settings)
    assert outcome.status is OutcomeStatus.UNFIT_MACHINE
    assert outcome.reason == "ModuleNotFoundError: No module named 'tests.no_such_module'"


@pytest.mark.parametrize(
    "item", [(ItemKind.TRIAL, "trial"), (ItemKind.STAGE, "dense"), (ItemKind.STAGE, "no")]
)
def test_a_machine_that_means_something_else_by_an_item_does_not_run_it(
    tmp_path: Path, item: tuple[ItemKind, str]
) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path))
    outcome = execute_item(
        WorkItem(kind=item[0], name=item[1], key="of other data", number=7),
        to_plain(make_spec().run),
        settings,
    )
    assert outcome.status is OutcomeStatus.UNFIT_MACHINE
    assert outcome.reason is not None
    assert outcome.reason.startswith("every machine must have the driver's data, plug-ins and version")
    assert f"here '{item[1]}' of trial 7 has key " in outcome.reason
    assert outcome.reason.endswith("instead of of other data")
    assert not times_run(tmp_path)


def test_a_machine_must_see_the_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LONGEST_LOOK_S", 0.2)
    folder = make_folder(tmp_path, make_spec())
    here = BackendSettings(factory=FACTORY, artifacts=str(tmp_path), plug_ins=str(tmp_path))
    settings = settings_elsewhere(here, make_spec(), folder)
    assert settings.seen_by_all == str(folder.spec_path)
    item = WorkItem(kind=ItemKind.TRIAL, name="trial", key="k", number=0)
    folder.spec_path.unlink(missing_ok=True)
    outcome = execute_item(item, to_plain(make_spec().run), settings)
    assert outcome.status is OutcomeStatus.UNFIT_MACHINE
    assert outcome.reason is not None
    assert outcome.reason.startswith("every machine must see the folder of artifacts, but this one has no ")


@pytest.mark.parametrize("artifacts", ["s3://bucket/prefix", "/shared"])
def test_what_all_machines_must_see_lies_with_the_artifacts(tmp_path: Path, artifacts: str) -> None:
    address = artifacts if "://" in artifacts else f"{tmp_path}{artifacts}"
    spec = make_spec(storage={"artifacts": address})
    here = BackendSettings(factory=FACTORY, artifacts=address)
    seen = settings_elsewhere(here, spec, StudyFolder(tmp_path, spec.study)).seen_by_all
    if "://" in artifacts:
        assert seen is None
    else:
        assert seen == f"{address}/.shared-by-demo"
        assert Path(seen).is_file()


def test_plug_ins_that_were_shipped_are_imported_from_where_they_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "shipped_backend.py").write_text(
        "from tests.search_tests.synthetic_backend import SyntheticBackend as create\n"
    )
    here = BackendSettings(
        factory="shipped_backend:create", artifacts=str(tmp_path), plug_ins=str(tmp_path / "home")
    )
    settings = replace(
        settings_elsewhere(here, make_spec(), make_folder(tmp_path, make_spec())), seen_by_all=None
    )
    with pytest.raises(ModuleNotFoundError, match="did not come to this machine"):
        load_backend(settings)
    copy = stage_plug_ins(tmp_path / "home", tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(str(copy.parent))
    assert load_backend(settings).has_artifact("none") is False
    assert Path(sys.modules["shipped_backend"].__file__ or "").parent == copy


def test_outcomes_survive_the_way_to_the_driver(tmp_path: Path) -> None:
    outcome = execute(tmp_path)
    report = {"num_items": 1, "outcome": json.dumps(outcome.to_plain()), "trial_id": "x"}
    assert unpack_outcome(report) == outcome


def test_items_are_sent_as_json(tmp_path: Path) -> None:
    item = WorkItem(kind=ItemKind.STAGE, name="dense", key="k", number=4)
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path))
    config = to_plain(make_spec().run)
    (packed,) = pack_item(item, config, settings).values()
    sent = json.loads(packed)
    assert WorkItem.from_plain(sent["item"]) == item
    assert BackendSettings(**sent["backend"]) == settings
    assert sent["config"] == config


def test_a_process_keeps_its_backend(tmp_path: Path) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path))
    assert load_backend(settings) is load_backend(BackendSettings(factory=FACTORY, artifacts=str(tmp_path)))


def test_a_meeting_lasts_until_all_workers_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "workers"
    late = threading.Timer(0.3, (folder / "host-2").touch)
    late.start()
    started = time.monotonic()
    _meet(folder, 2)
    assert 0.3 <= time.monotonic() - started < 5
    late.join()
    _meet(folder, 2)  # a worker that comes later finds them there
    assert len(list(folder.iterdir())) == 2


def test_a_wait_ends_with_the_first_stage_that_is_finished(tmp_path: Path) -> None:
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path))
    late = threading.Timer(0.3, (tmp_path / "b").touch)
    late.start()
    started = time.monotonic()
    _wait(["a", "b"], settings)
    assert 0.3 <= time.monotonic() - started < 5
    late.join()


def test_a_bucket_that_is_gone_ends_the_search_and_not_the_worker(object_store: ObjectStore) -> None:
    address = object_store.address("artifacts", bucket="gone")
    settings = BackendSettings(factory=STAGES_BACKEND, artifacts=address)
    config = make_spec().make_config({"budgets.macs": 0.5})
    (dense, *_) = load_backend(settings).plan(config).stages
    item = WorkItem(kind=ItemKind.STAGE, name="dense", key=dense.key, number=0)
    outcome = execute_item(item, to_plain(config), settings)
    assert outcome.status is OutcomeStatus.NO_STORAGE
    assert outcome.reason is not None
    assert outcome.reason.endswith(
        "must have its bucket, but there is no 'gone'; make the bucket, or correct storage.artifacts"
    )
    _wait(["d" * 24], settings)  # raises nothing: an item will say it


ASSERTED = "CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later"


def fails(text: str) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(text)

    return fail


@pytest.fixture
def used_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that this process seems to have used, and that answers; what would lie on it lies in main memory."""
    zeros = torch.zeros
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch, "zeros", lambda *size, **_: zeros(*size))


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is reported to Ray Tune."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", told.append)
    return told


def run_first_trial(tmp_path: Path, seed: int, *, device: str = "cuda") -> None:
    execute(tmp_path, seed, stages=STAGES)  # whatever the trial needs
    settings = BackendSettings(factory=FACTORY, artifacts=str(tmp_path), device=device)
    config = make_spec().make_config({"seed": seed, "budgets.macs": 0.5})
    key = load_backend(settings).plan(config).trial_key
    trial = WorkItem(kind=ItemKind.TRIAL, name="trial", key=key, number=0)
    run_work_item(pack_item(trial, to_plain(config), settings))


@pytest.mark.parametrize("call", ["synchronize", "zeros"])
@pytest.mark.usefixtures("used_gpu")
def test_a_process_whose_gpu_answers_no_more_says_so_with_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[dict[str, Any]], call: str
) -> None:
    monkeypatch.setattr(torch if call == "zeros" else torch.cuda, call, fails(ASSERTED))
    monkeypatch.setattr(worker, "return_freed_memory", fails("a process that ends needs no tidying"))
    monkeypatch.setattr(worker, "_LONG_ENOUGH_TO_FREE_S", 0.0)
    run_first_trial(tmp_path, BUG)
    (report,) = reports
    assert report[IS_SPENT] is True
    assert unpack_outcome(report).reason == "RuntimeError: a bug"


@pytest.mark.parametrize(("seed", "status"), [(BUG, OutcomeStatus.FAILED), (0, OutcomeStatus.COMPLETE)])
@pytest.mark.usefixtures("used_gpu")
def test_a_process_whose_gpu_answers_goes_on(
    tmp_path: Path, reports: list[dict[str, Any]], seed: int, status: OutcomeStatus
) -> None:
    run_first_trial(tmp_path, seed)
    assert [(unpack_outcome(report).status, report[IS_SPENT]) for report in reports] == [(status, False)]


@pytest.mark.parametrize(("seed", "status"), [(BUG, OutcomeStatus.FAILED), (0, OutcomeStatus.COMPLETE)])
@pytest.mark.parametrize("is_sound", [True, False])
@pytest.mark.usefixtures("used_gpu")
def test_memory_that_cannot_be_given_back_does_not_hide_the_outcome(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reports: list[dict[str, Any]],
    seed: int,
    status: OutcomeStatus,
    is_sound: bool,
) -> None:
    monkeypatch.setattr(worker, "_LONG_ENOUGH_TO_FREE_S", -1.0)
    monkeypatch.setattr(worker, "return_freed_memory", fails(ASSERTED))
    if not is_sound:
        monkeypatch.setattr(torch.cuda, "synchronize", fails(ASSERTED))
    run_first_trial(tmp_path, seed)
    (report,) = reports
    assert (unpack_outcome(report).status, report[IS_SPENT]) == (status, not is_sound)


@pytest.mark.usefixtures("used_gpu")
def test_a_gpu_that_others_fill_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "zeros", fails("CUDA error: out of memory"))
    assert is_device_usable("cuda")


def test_what_is_no_gpu_or_was_never_used_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("that would start CUDA"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert is_device_usable("cuda")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert is_device_usable("cpu")
    monkeypatch.delitem(sys.modules, "torch")
    assert is_device_usable("cuda")
