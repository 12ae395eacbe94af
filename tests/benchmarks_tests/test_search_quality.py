"""Search against search: what is counted and chosen, and both kinds of searches on a tiny network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import search_quality_runs
from benchmarks.peers.environments import PeerError
from benchmarks.quality_rows import Preset
from benchmarks.search_quality_page import final_figures, growth
from benchmarks.search_quality_rows import PRESETS, ROWS, OurSearch, peer_config, search_spec
from benchmarks.search_quality_runs import epochs_by_record, van_der_corput
from pruning_core.stage_keys import plan_run
from reports.records import TrialRecord, TrialStatus
from reports.scores import RungScores
from tests.benchmarks_tests.tiny_searches import fill_tiny, write_tiny_data
from tests.reports_tests.synthetic import make_record

TPE = "TPE over Torch-Pruning's ratios"
STEERED = "ours: steering, along the front"


def network(epochs: float, validation: float, test: float, macs: float) -> dict[str, float]:
    return {
        "epochs": epochs,
        "validation": validation,
        "test": test,
        "macs_share": macs,
        "params_share": macs,
    }


def test_networks_are_chosen_by_validation_and_scored_by_test_images() -> None:
    chosen, dominated, small = (
        network(4, 0.9, 0.8, 0.5),
        network(8, 0.85, 0.95, 0.5),
        network(12, 0.5, 0.4, 0.2),
    )
    final = final_figures({"networks": [chosen, dominated, small]})
    assert final.size == 2
    assert final.best == {0.5: 0.8, 0.25: 0.4}
    # Two overlapping boxes: 0.8 x 0.5 x 0.5 and 0.4 x 0.8 x 0.8, which share 0.4 x 0.5 x 0.5.
    assert final.volume == pytest.approx(0.8 * 0.25 + 0.4 * 0.64 - 0.4 * 0.25)


def test_a_search_without_a_small_network_has_no_best_one() -> None:
    assert final_figures({"networks": [network(4, 0.9, 0.8, 0.6)]}).best == {0.5: None, 0.25: None}


def test_a_front_grows_in_the_order_that_networks_were_finished_in() -> None:
    epochs, volumes = growth({"networks": [network(8, 0.5, 0.5, 0.5), network(4, 0.4, 0.4, 0.5)]})
    assert epochs == [4, 8]
    assert volumes == pytest.approx([0.4 * 0.25, 0.5 * 0.25])


def steered(number: int, status: TrialStatus, reached: int, selector: str) -> TrialRecord:
    """Return a trial that learned gates for one epoch and fine-tuned for ``reached`` of 4."""
    spec = search_spec(
        PRESETS["cpu"],
        ROWS[STEERED],  # type: ignore[arg-type]
        "data.npz",
        study="s",
        seed=0,
        trials=1,
        slots=1,
        storage=".",
    )
    record = make_record(number)
    assert record.scores is not None
    rung = RungScores(epochs=reached, order=number, seconds=1.0, finished_at=1.0, scores=record.scores)
    return record.model_copy(
        update={
            "status": status,
            "config": spec.run.model_dump(mode="json"),
            "artifact_keys": {"predictor": "p", "selector": selector},
            "rungs": (rung,),
        }
    )


def test_epochs_are_those_of_gates_tuning_and_shared_trainings_once() -> None:
    records = [
        steered(0, TrialStatus.COMPLETE, 4, "one basis"),
        steered(1, TrialStatus.STOPPED, 1, "one basis"),
        steered(2, TrialStatus.STOPPED, 2, "two bases"),
        steered(3, TrialStatus.INFEASIBLE, 4, "two bases"),
    ]
    gates = 5_000 // 128 * 128 / 5_000
    spent = [gates + 4 + 6 + 3, gates + 1, gates + 2 + 3, 0.0]
    assert epochs_by_record(records, PRESETS["cpu"]) == pytest.approx(list(np.cumsum(spent)))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_all_searches_begin_with_one_dense_network(preset: Preset) -> None:
    keys = {plan_run(peer_config(preset, "data.npz", 1, {}, 0.5), "data").key_of("dense")}
    for row in ROWS.values():
        if isinstance(row, OurSearch):
            spec = search_spec(preset, row, "data.npz", study="s", seed=1, trials=1, slots=1, storage=".")
            keys.add(plan_run(spec.run, "data").key_of("dense"))
            assert spec.run.fine_tuning.epochs == preset.epochs
    assert len(keys) == 1


def test_budgets_are_spread_however_many_there_is_time_for() -> None:
    shares = [van_der_corput(index) for index in range(1, 8)]
    assert shares == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("searches"))


@pytest.mark.slow
@pytest.mark.integration
def test_a_peers_search_spends_its_epochs_and_goes_on_after_a_break(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = search_quality_runs.measure_peer, []

    def once_then_break(*given: Any, **named: Any) -> Any:
        calls.append(given[0].options["ratios"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*given, **named)

    monkeypatch.setattr(search_quality_runs, "measure_peer", once_then_break)
    with pytest.raises(KeyboardInterrupt):
        fill_tiny(root, TPE)
    (cell,) = fill_tiny(root, TPE)
    assert len(calls) == 3, "the first network is not trained again"
    assert [one["epochs"] for one in cell["networks"]] == [2, 4]
    assert all(0 < one["macs_share"] < 1 for one in cell["networks"])
    assert len({one["macs_share"] for one in cell["networks"]}) == 2, "ratios differ"
    assert f"| {TPE} | 1 | 2 | 2 |" in (root / "out/search-quality-tiny.md").read_text()
    assert (root / "out/search-quality-tiny.svg").read_text().startswith("<?xml")
    assert fill_tiny(root, TPE) == [cell]
    assert len(calls) == 3


@pytest.mark.slow
def test_a_tool_that_cannot_be_installed_is_named_with_the_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PeerError("nvidia-modelopt must be installable, but there is no wheel")

    monkeypatch.setattr(search_quality_runs, "measure_peer", refuse)
    fill_tiny(root, "FastNAS at several budgets")
    page = (root / "out/search-quality-tiny.md").read_text()
    assert "- FastNAS at several budgets: not run: nvidia-modelopt must be installable" in page
