"""``prunefront plan --probe``: a real run of a tiny network, and what is said from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from search.cli import app
from search.effort import Effort
from search.execution import slots
from search.probe import AssumedSlots, Probe, assume_slots, probe_pairs
from search.spec_settings import ResourcesConfig
from tests.search_tests.stored_studies import write_spec

runner = CliRunner()

NUM_TRIALS = 5000  # so many that what is rounded to tenths of a second hardly matters
TINY = f"""\
study: tiny
run:
  method: l1
  architecture: {{name: cifar_resnet8, width: 0.5}}
  dataset: {{train_images: 128, test_images: 32}}
  dense_training: {{epochs: 1, batch_size: 64}}
  fine_tuning: {{epochs: 1, batch_size: 64}}
search:
  budgets.macs: {{low: 0.3, high: 0.8}}
limits: {{trials: {NUM_TRIALS}}}
resources: {{slots: 4}}
"""
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def probe(folder: Path, *options: str) -> dict[str, str]:
    """Plan the tiny search with a probe; returns what is printed behind each name after the list."""
    spec = write_spec(folder, TINY)
    arguments = ["plan", str(spec), f"storage.path={folder / 'results'}", "--configurations", "0", "--probe"]
    result = runner.invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    lines = result.stdout.partition("probing: ")[2].splitlines()[2:]
    return {name: value.strip() for name, _, value in (line.partition("  ") for line in lines)}


def seconds(text: str) -> float:
    """Read back a time span such as ``4 min 10 s``."""
    words = text.split()
    return sum(float(count) * UNITS[unit] for count, unit in zip(words[::2], words[1::2], strict=True))


def megabytes(text: str) -> float:
    """Read back a size that a line begins with, such as ``812MB`` or ``1.02GB``."""
    match = re.match(r"([\d.]+)([MG])B per slot at the peak$", text)
    assert match is not None, text
    return float(match[1]) * {"M": 1, "G": 1000}[match[2]]


def between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


def test_what_a_probe_says_of_time_slots_cost_and_memory_fits_together(tmp_path: Path) -> None:
    found = probe(tmp_path, "--price", "1000")
    assert list(found) == ["probe", "memory", "work", "slots", "time", "cost"]
    assert [part.split()[0] for part in found["probe"].split(";")[0].split(", ")] == [
        "dense",
        "allocate",
        "fine_tune",
    ]
    assert megabytes(found["memory"]) > 50  # what Python and torch alone take
    work_s, hours = seconds(found["work"].partition(":")[0]), float(between(found["cost"], ": ", " hours"))
    trial_s = seconds(found["work"].partition(f"{NUM_TRIALS:,} trials of ")[2])
    assert work_s > 0
    assert work_s == pytest.approx(NUM_TRIALS * trial_s, rel=0.05 / trial_s + 0.05)
    assert hours * 3600 == pytest.approx(work_s, abs=60)
    assert float(between(found["cost"], "about ", ":").replace(",", "")) == pytest.approx(
        hours * 1000, rel=0.02
    )
    assert found["cost"].endswith("hours of one slot at 1000 each")

    assert found["slots"].startswith("4, by resources.slots; ")
    assert seconds(between(found["time"], "about ", " with 4 slots")) == pytest.approx(work_s / 4, abs=60)

    again = probe(tmp_path, "--slots", "40")
    assert found["probe"] == again["probe"]  # so it was not trained again
    assert (found["memory"], found["work"]) == (again["memory"], again["work"])
    assert again["slots"] == "40, by --slots"
    assert seconds(between(again["time"], "about ", " with 40 slots")) == pytest.approx(work_s / 40, abs=60)


@pytest.mark.parametrize("option", ["--price", "--slots"])
def test_what_only_a_probe_needs_is_refused_without_one(tmp_path: Path, option: str) -> None:
    result = runner.invoke(app, ["plan", str(write_spec(tmp_path, TINY)), option, "2"])
    assert result.exit_code == 2
    assert f"{option} must come with --probe" in result.stderr


@pytest.mark.parametrize(
    ("resources", "wanted", "expected"),
    [
        ({}, None, "8, as many as fit this machine; for a cluster or another machine give --slots N"),
        ({"slots": 3}, None, "3, by resources.slots; for a cluster or another machine give --slots N"),
        ({"slots": 3}, 30, "30, by --slots"),
        ({"cpus_per_trial": 16}, 30, "30, by --slots"),  # which this machine could not run
        (
            {"gpus_per_trial": 0.5, "slots": 9},
            None,
            "4, as many as fit this machine; for a cluster or another",
        ),
    ],
)
def test_the_slots_of_an_estimate_come_with_a_reason(
    resources: dict[str, Any], wanted: int | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "count_cpus", lambda: 8)
    monkeypatch.setattr(slots, "count_gpus", lambda: 2)
    found = assume_slots(ResourcesConfig.model_validate(resources), wanted)
    assert f"{found.count}, {found.reason}".startswith(expected)


def pairs_on_gpu(
    peaks: Mapping[str, float], gpu_mb: float | None = 20_000, **resources: Any
) -> dict[str, str]:
    result = {
        "stage_seconds": {"dense": 60.0, "fine_tune": 30.0},
        "num_correct_fine_tuned": 9,
        "num_images": 10,
        "peak_memory_mb": 700.0,
        "stage_peak_memory_mb": {"dense": 2000.0, "fine_tune": 700.0},
        "stage_peak_gpu_memory_mb": peaks,
    }
    found = Probe(
        result=result,
        num_trials=4,
        slots=AssumedSlots(count=2, reason="by --slots"),
        effort=Effort(shared_s=60, trial_s=30, work_s=180, wall_s=90),
    )
    return dict(probe_pairs(found, ResourcesConfig.model_validate(resources), gpu_mb=gpu_mb, price=None))


def test_a_probe_on_a_gpu_says_how_many_trials_would_share_it() -> None:
    found = pairs_on_gpu({"dense": 3100.0, "fine_tune": 900.0}, gpus_per_trial=1)
    assert found["GPU memory"].startswith("3.10GB at the peak, ")
    assert found["GPU memory"].endswith(
        "4 trials would fit the 20.0GB of a GPU here, with resources.gpus_per_trial=0.25"
    )
    assert (
        found["time"]
        == "about 1 min 30 s with 2 slots as fast as the one timed here, if nothing else runs there"
    )


def test_an_estimate_of_trials_that_share_a_gpu_says_that_they_may_be_slower() -> None:
    found = pairs_on_gpu({"dense": 3100.0}, gpus_per_trial=0.5)
    assert found["time"].endswith(" and trials that share a GPU do not slow each other down")


def test_the_memory_of_a_slot_is_that_of_its_largest_stage_even_if_it_was_finished_before() -> None:
    assert pairs_on_gpu({})["memory"] == "2.00GB per slot at the peak"


@pytest.mark.parametrize(
    ("gpu_mb", "resources"),
    [
        (None, {"gpus_per_trial": 1}),  # stages were finished elsewhere
        (20_000, {"gpus_per_trial": 2, "processes_per_trial": 2, "cpus_per_trial": 2}),
    ],
)
def test_no_sharing_is_suggested_where_it_is_not_known_or_not_possible(
    gpu_mb: float | None, resources: dict[str, Any]
) -> None:
    found = pairs_on_gpu({"dense": 3100.0}, gpu_mb, **resources)
    assert found["GPU memory"] == "3.10GB at the peak of one process"


@pytest.mark.parametrize(("peaks", "gpus"), [({}, 1), ({"dense": 3100.0}, 0)])
def test_nothing_is_said_of_gpus_where_none_is_used(peaks: dict[str, float], gpus: float) -> None:
    assert "GPU memory" not in pairs_on_gpu(peaks, gpus_per_trial=gpus)
