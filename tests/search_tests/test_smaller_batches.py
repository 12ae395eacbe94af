"""Trials that run out of memory run again with smaller batches, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.config import load_config
from reports.records import TrialStatus, to_tags
from search.backend import BackendSettings, load_backend
from search.execution.smaller_batches import is_out_of_memory, with_smaller_batches
from search.tried_configurations import TriedConfigurations
from tests.reports_tests.synthetic import make_record
from tests.search_tests.synthetic_backend import FACTORY, LARGEST_BATCH, OUT_OF_MEMORY, times_run
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec

SEEDS = {"seed": {"choices": [OUT_OF_MEMORY, 1]}, "budgets.macs": {"choices": [0.4, 0.6]}}


def test_batches_of_gates_and_fine_tuning_are_halved_until_they_are_small() -> None:
    config = load_config({"gates": {"batch_size": 64}, "fine_tuning": {"batch_size": 32}})
    found = with_smaller_batches(config)
    assert found is not None
    smaller, said = found
    assert (smaller.gates.batch_size, smaller.fine_tuning.batch_size) == (32, 16)
    assert said.endswith("gates.batch_size 64 -> 32, fine_tuning.batch_size 32 -> 16")
    assert smaller.dense_training == config.dense_training
    sizes = []
    while (again := with_smaller_batches(smaller)) is not None:
        smaller = again[0]
        sizes.append((smaller.gates.batch_size, smaller.fine_tuning.batch_size))
    assert sizes == [(16, 8), (8, 8)]


def test_only_what_a_run_has_and_what_is_not_small_yet_is_halved() -> None:
    found = with_smaller_batches(load_config({"gates": {"batch_size": 8}, "fine_tuning": {"batch_size": 32}}))
    assert found is not None
    assert (found[0].gates.batch_size, found[0].fine_tuning.batch_size) == (8, 16)
    assert "gates" not in found[1]
    plain = load_config({"method": "l1", "fine_tuning": {"batch_size": 32}})
    found = with_smaller_batches(plain)
    assert found is not None
    assert found[0].gates == plain.gates
    assert found[1].endswith("smaller batches: fine_tuning.batch_size 32 -> 16")
    assert with_smaller_batches(load_config({"method": "l1", "fine_tuning": {"batch_size": 8}})) is None


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: Exception, is_so: bool) -> None:
    assert is_out_of_memory(error) is is_so


def test_a_trial_that_runs_out_of_memory_runs_again_and_its_record_says_so(tmp_path: Path) -> None:
    spec = make_spec(search=SEEDS)
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert len(search.records) == 4
    for record in search.records:
        assert record.status is TrialStatus.COMPLETE
        if record.seed == OUT_OF_MEMORY:
            assert record.config["fine_tuning"]["batch_size"] <= LARGEST_BATCH  # type: ignore[index, call-overload, operator]
            assert record.reason is not None
            assert "fine_tuning.batch_size 64 -> 32" in record.reason
            assert to_tags(record, front_rank=1, on_front=True)["note"] == record.reason
        else:
            assert record.reason is None


def test_what_ran_with_smaller_batches_is_not_proposed_again_after_a_crash(tmp_path: Path) -> None:
    spec = make_spec(search=SEEDS)
    folder = make_folder(tmp_path, spec)
    SyntheticSearch(spec, folder).run()
    before = times_run(folder.artifacts_path)
    again = SyntheticSearch(spec, folder)
    again.run()
    assert not again.handed_out
    assert times_run(folder.artifacts_path) == before


def test_without_retries_it_fails_with_the_reason(tmp_path: Path) -> None:
    spec = make_spec(search=SEEDS, limits={"trials": 12, "memory_retries": 0})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    failed = [record for record in search.records if record.status is TrialStatus.FAILED]
    assert [record.seed for record in failed] == [OUT_OF_MEMORY] * 2
    assert all(record.reason == "MemoryError: as much as that is not there" for record in failed)


def test_retries_are_limited(tmp_path: Path) -> None:
    spec = make_spec(search=SEEDS, limits={"trials": 12, "memory_retries": 1})
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    assert sum(record.status is TrialStatus.FAILED for record in search.records) == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"limits": {"trials": 12, "memory_retries": 1}}, TrialStatus.FAILED),
        ({"halving": {"rule": "stopping", "eta": 2}}, TrialStatus.STOPPED),
    ],
)
def test_one_that_failed_or_was_stopped_with_smaller_batches_is_known_after_a_crash(
    tmp_path: Path, changes: dict[str, Any], status: TrialStatus
) -> None:
    spec = make_spec(search=SEEDS, **changes)
    folder = make_folder(tmp_path, spec)
    search = SyntheticSearch(spec, folder)
    search.run()
    shrunk = [record for record in search.records if record.seed == OUT_OF_MEMORY and record.status is status]
    assert shrunk
    assert all(
        "; it ran out of memory, and again with smaller batches: " in str(one.reason) for one in shrunk
    )
    before = times_run(folder.artifacts_path)
    again = SyntheticSearch(spec, folder)
    again.run()
    assert not again.handed_out
    assert len(again.study.finished()) == 4
    assert times_run(folder.artifacts_path) == before


@pytest.mark.parametrize("duplicates", ["refuse", "new_seed"])
def test_a_trial_whose_values_make_no_configuration_does_not_stand_in_the_way_of_resuming(
    tmp_path: Path, duplicates: str
) -> None:
    spec = make_spec(sampler={"name": "random", "duplicates": duplicates})
    backend = load_backend(BackendSettings(factory=FACTORY, artifacts=str(tmp_path)))
    tried = TriedConfigurations(spec, backend)
    failed = make_record(3, status=TrialStatus.FAILED)
    values = {"saliency.num_basis": spec.run.saliency.max_num_basis + 1}
    tried.learn(failed.model_copy(update={"varied": values, "trial_key": "invalid-3"}))
    assert tried.find("invalid-3") == 3
