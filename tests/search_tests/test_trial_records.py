from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from reports.records import TrialStatus
from search.backend import BackendSettings
from search.outcomes import ItemOutcome, OutcomeStatus
from search.spec import SearchSpec
from search.studies.study import AskedTrial
from search.trial_records import Proposal, complete_record, unfinished_record
from tests.search_tests.synthetic_backend import SyntheticBackend
from tests.search_tests.synthetic_search import make_spec

VALUES = {"budgets.macs": 0.4, "saliency.num_basis": 2, "loss_weights.steering": 0.1}


def propose(tmp_path: Path, spec: SearchSpec) -> tuple[Proposal, dict[str, Any]]:
    backend = SyntheticBackend(BackendSettings(factory="", artifacts=str(tmp_path)))
    config = spec.make_config(VALUES)
    for stage in backend.plan(config).stages:
        backend.run_stage(stage.name, config)
    proposal = Proposal(asked=AskedTrial(number=3, values=VALUES), config=config, plan=backend.plan(config))
    return proposal, dict(backend.run_trial(config))


def finish(result: dict[str, Any] | None) -> ItemOutcome:
    return ItemOutcome(status=OutcomeStatus.COMPLETE, started_at=10.0, finished_at=12.5, result=result)


def test_a_complete_record_holds_what_the_worker_found(tmp_path: Path) -> None:
    spec = make_spec(constraints={"params": "<= 30%", "macs": "<= 50%"})
    proposal, result = propose(tmp_path, spec)
    record = complete_record(spec, proposal, finish(result))
    assert (record.study, record.number, record.trial_key) == ("demo", 3, result["trial_key"])
    assert record.status is TrialStatus.COMPLETE
    assert record.varied == VALUES
    assert record.config["budgets"] == {
        "macs": 0.4,
        "params": None,
        "activation_memory": None,
        "latency_ms": None,
        "block_macs": None,
    }
    assert record.scores is not None
    assert record.scores.num_correct_fine_tuned == result["num_correct_fine_tuned"]
    assert record.limits == {"macs": 400_000}
    assert record.kept == {"conv1": (6, 16)}
    assert record.constraint_values == pytest.approx({"params": 0.1, "macs": -0.1})
    assert (record.started_at, record.finished_at) == (10.0, 12.5)
    assert record.stage_peak_memory_mb == {"dense": 90.0, "steer": 100.0}  # of shared stages as well


def test_time_in_shared_stages_that_were_there_is_not_the_trial_s(tmp_path: Path) -> None:
    spec = make_spec()
    proposal, result = propose(tmp_path, spec)
    # An interrupted trial finds its own stage finished when it is resumed: that stage is still its own.
    result["cached_stages"] = ["dense", "predictor", "steer"]
    record = complete_record(spec, proposal, finish(result))
    assert record.stage_seconds == {"selector": 1.0, "steer": 0.5, "fine_tune": 0.25}
    assert record.cached_stages == ("dense", "predictor", "steer")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("explanation_distance", math.nan, "explanation_distance: .*, but got nan"),
        ("explanation_similarity", math.inf, "explanation_similarity: "),
        ("num_correct_fine_tuned", None, "num_correct_fine_tuned: "),
        ("num_correct_fine_tuned", 401, "num_correct_fine_tuned=401, num_images=400"),
        ("macs", 0, "macs: "),
        ("trial_key", "other", "must run the planned trial .*, but it ran other"),
        ("kept", {"conv1": [0, 16]}, "keep 1 to all"),
    ],
)
def test_a_value_that_is_not_valid_is_named(tmp_path: Path, name: str, value: object, problem: str) -> None:
    spec = make_spec()
    proposal, result = propose(tmp_path, spec)
    with pytest.raises(ValueError, match=problem) as caught:
        complete_record(spec, proposal, finish({**result, name: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["limits", "macs", "stage_seconds", "stage_peak_memory_mb", "trial_key"])
def test_a_value_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    spec = make_spec()
    proposal, result = propose(tmp_path, spec)
    del result[name]
    with pytest.raises(ValueError, match=f"not valid: .*{name}"):
        complete_record(spec, proposal, finish(result))


def test_no_result_at_all_is_refused(tmp_path: Path) -> None:
    spec = make_spec()
    proposal, _ = propose(tmp_path, spec)
    with pytest.raises(ValueError, match="is missing"):
        complete_record(spec, proposal, finish(None))


def test_a_failed_trial_keeps_its_configuration_and_its_reason(tmp_path: Path) -> None:
    spec = make_spec()
    proposal, _ = propose(tmp_path, spec)
    record = unfinished_record(spec, proposal, TrialStatus.FAILED, reason="it broke", finished_at=2.0)
    assert (record.status, record.reason, record.scores) == (TrialStatus.FAILED, "it broke", None)
    assert record.varied == VALUES
