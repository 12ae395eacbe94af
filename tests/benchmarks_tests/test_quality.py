"""The comparison with tools that prune, on a network so small that every tool has a turn."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality, quality_runs
from benchmarks.peers.environments import PeerError
from benchmarks.peers.pruners import PRUNERS
from benchmarks.quality_rows import PRESETS, REFERENCE, ROWS, Preset, config_of
from pruning_core.stage_keys import plan_run
from tests.benchmarks_tests import tiny_searches

pytestmark = pytest.mark.slow

TINY = replace(
    tiny_searches.TINY,
    budgets=(0.5,),
    changes={
        **tiny_searches.TINY.changes,
        "saliency.predictor.epochs": 1,
        "saliency.selector.epochs": 1,
        "gates.steps": 6,
        "gates.num_images": 64,
    },
)
TORCH_PRUNING = ("Torch-Pruning: group norm, global, regularised", "Torch-Pruning: Taylor, local")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_searches.write_tiny_data(tmp_path_factory.mktemp("quality"))


def fill(root: Path, *rows: str, place: str = "", keep: bool = False) -> list[Any]:
    args = Namespace(
        preset="tiny",
        data=root,
        store=root / place / "store",
        out=root / place / "out",
        keep=keep,
        environments=root / "peers",
        device="cpu",
        threads=1,
        budgets=[0.5],
        seeds=[0],
        rows=list(rows),
    )
    return quality.fill(args, TINY)


@pytest.mark.integration
def test_every_tool_meets_the_budget_and_is_found_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["ours: default", REFERENCE, *TORCH_PRUNING]
    cells = fill(root, *rows)
    assert [cell["row"] for cell in cells] == rows
    assert len({cell["num_correct_dense"] for cell in cells}) == 1
    for cell in cells:
        assert 0.3 < cell["macs_share"] <= 0.5
        assert 0 <= cell["num_correct"] <= cell["num_images"] == 64
        assert cell["latency_ms"] > 0
    assert len({cell["params_share"] for cell in cells}) == len(rows), "tools choose other channels"
    page = (root / "out/quality-tiny.md").read_text()
    assert page.count("\n| ") >= len(rows)
    assert (root / "out/quality-tiny.svg").read_text().startswith("<?xml")
    monkeypatch.setattr(quality, "measure_ours", None)  # would fail if it was called
    monkeypatch.setattr(quality, "measure_peer", None)
    assert fill(root, *rows) == cells


def test_networks_that_were_kept_are_not_trained_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "COMMITTED", tmp_path / "networks")
    first = fill(root, "ours: default", place="here", keep=True)
    kept = facts_in(tmp_path / "networks")
    assert len(kept) == 3, "dense network, predictor, selector"
    second = fill(root, "ours: default", place="elsewhere", keep=True)
    assert second[0]["num_correct"] == first[0]["num_correct"]
    assert kept.items() <= facts_in(root / "elsewhere/store").items(), (
        "their seconds tell that they were copied"
    )
    assert facts_in(tmp_path / "networks") == kept


def facts_in(store: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in store.rglob("facts.json")}


def test_a_tool_that_cannot_run_is_named_with_the_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise PeerError("nvidia-modelopt must be installable, but there is no wheel")

    monkeypatch.setattr(quality_runs, "make_environment", refuse)
    fill(root, "ModelOpt: FastNAS", REFERENCE, "random")
    page = (root / "out/quality-tiny.md").read_text()
    assert "- ModelOpt: FastNAS: not run: nvidia-modelopt must be installable, but there is no wheel" in page


@pytest.mark.integration
def test_a_tool_that_breaks_says_how(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_runs, "make_environment", lambda *_: Path(sys.executable))
    fill(root, "ModelOpt: FastNAS", "random")
    page = (root / "out/quality-tiny.md").read_text()
    assert "not run: ModelOpt must prune the network, but ended with: " in page
    assert "No module named 'modelopt'" in page


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_rows_share_the_dense_network_and_have_equal_epochs(preset: Preset) -> None:
    configs = {name: config_of(preset, row, "data.npz", macs=0.5, seed=1) for name, row in ROWS.items()}
    assert len({plan_run(config, "data").key_of("dense") for config in configs.values()}) == 1
    for name, config in configs.items():
        assert config.fine_tuning.epochs + ROWS[name].training_epochs == preset.epochs
        is_joint = config.method == "interpretation_steered" and config.gates.network_weights == "joint"
        assert is_joint <= (ROWS[name].training_epochs > 0), name
        if is_joint:
            assert config.gates.steps * config.gates.batch_size <= preset.num_train
        assert config.channels.round_to == 1


def test_every_peer_has_an_environment() -> None:
    assert {row.peer for row in ROWS.values()} - {None} == set(PRUNERS)
    assert json.dumps([peer.requirements for peer in PRUNERS.values()])
