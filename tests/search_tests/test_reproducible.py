"""``reproducible: true``: the same seed gives the same trials, whichever ends first, and after a crash too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pruning_core.errors import InvalidSettingsError
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from tests.search_tests.stored_studies import SPEC, write_spec
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec

BATCH = 3
RANGES: dict[str, Any] = {
    "budgets.macs": {"low": 0.1, "high": 0.8},
    "loss_weights.steering": {"low": 0.1, "high": 10, "log": True},
}


def spec_with(sampler: str) -> SearchSpec:
    return make_spec(
        search=RANGES, sampler={"name": sampler}, limits={"trials": 17}, first=[{"budgets.macs": 0.5}]
    )


def trials_of(search: SyntheticSearch) -> list[tuple[int, Any, Any]]:
    """Numbers, what was proposed, and what came out; proposals out of reach are among them."""
    return sorted(
        (record.number, tuple(record.varied.items()), record.scores) for record in search.study.finished()
    )


def search_to_the_end(
    root: Path, spec: SearchSpec, *, seed: int, batch: int | None = BATCH
) -> SyntheticSearch:
    root.mkdir()
    search = SyntheticSearch(spec, make_folder(root, spec), slots=BATCH, seed=seed, batch=batch)
    search.run()
    return search


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "along_front", "known_costs"])
def test_the_order_in_which_trials_end_changes_nothing(tmp_path: Path, sampler: str) -> None:
    spec = spec_with(sampler)
    first, second = (search_to_the_end(tmp_path / str(seed), spec, seed=seed) for seed in (1, 2))
    assert [record.number for record in first.records] != [record.number for record in second.records]
    assert trials_of(first) == trials_of(second)


def test_without_batches_it_does(tmp_path: Path) -> None:
    spec = spec_with("tpe")
    first, second = (search_to_the_end(tmp_path / str(seed), spec, seed=seed, batch=None) for seed in (1, 2))
    assert trials_of(first) != trials_of(second)


@pytest.mark.parametrize("num_steps", [0, 1, 4, 7, 12, 20])
def test_a_driver_that_was_killed_changes_nothing_either(tmp_path: Path, num_steps: int) -> None:
    spec = spec_with("tpe")
    whole = search_to_the_end(tmp_path / "whole", spec, seed=1)
    root = tmp_path / "killed"
    root.mkdir()
    folder = make_folder(root, spec)
    killed = SyntheticSearch(spec, folder, slots=BATCH, seed=2, batch=BATCH)
    killed.run(num_steps)
    killed.fill_slots()
    resumed = SyntheticSearch(spec, folder, slots=BATCH, seed=3, batch=BATCH)
    resumed.run()
    assert trials_of(resumed) == trials_of(whole)


def test_a_search_goes_on_in_whole_batches_with_fewer_slots(tmp_path: Path) -> None:
    spec = make_spec(search=RANGES, sampler={"name": "tpe"}, limits={"trials": 17})
    batch = 8  # more than are looked ahead for one slot
    whole, half = tmp_path / "whole", tmp_path / "half"
    for root in (whole, half):
        root.mkdir()
    undisturbed = SyntheticSearch(spec, make_folder(whole, spec), slots=batch, seed=1, batch=batch)
    undisturbed.run()
    folder = make_folder(half, spec)
    SyntheticSearch(spec, folder, slots=batch, seed=2, batch=batch).run(5)
    resumed = SyntheticSearch(spec, folder, slots=1, seed=3, batch=batch)
    resumed.run()
    assert trials_of(resumed) == trials_of(undisturbed)


def test_a_driver_that_was_killed_while_it_proposed_a_batch_changes_nothing(tmp_path: Path) -> None:
    spec = spec_with("tpe")
    whole = search_to_the_end(tmp_path / "whole", spec, seed=1)
    root = tmp_path / "killed"
    root.mkdir()
    folder = make_folder(root, spec)
    SyntheticSearch(spec, folder, slots=BATCH, seed=2, batch=BATCH).run(9)
    resumed = SyntheticSearch(spec, folder, slots=BATCH, seed=2, batch=BATCH)
    resumed.proposer.look_ahead()
    cut_after_first_of_batch(folder)
    again = SyntheticSearch(spec, folder, slots=BATCH, seed=4, batch=BATCH)
    again.run()
    assert trials_of(again) == trials_of(whole)


def cut_after_first_of_batch(folder: StudyFolder) -> None:
    """Cut the log behind the proposal of a trial that no worker has had, as if the driver had died then."""
    lines = folder.journal_path.read_text().splitlines(keepends=True)
    values = [index for index, line in enumerate(lines) if '"user_attr":{"values"' in line]
    behind = [index for index in values if not any('"started_at"' in line for line in lines[index:])]
    assert len(behind) > 1, "nothing was proposed and not started"
    folder.journal_path.write_text("".join(lines[: behind[0] + 1]))


def test_halving_is_refused(tmp_path: Path) -> None:
    path = write_spec(tmp_path, SPEC + "reproducible: true\nhalving: {rule: promotion}\n")
    with pytest.raises(InvalidSettingsError, match=r"halving\.rule must be none, but got 'promotion'"):
        load_spec(path)
