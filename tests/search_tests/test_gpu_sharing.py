"""How many trials share a GPU: arithmetic alone, no GPU needed."""

from __future__ import annotations

import pytest

from search.execution import slots
from search.execution.slots import count_slots
from search.gpu_sharing import GpuSharing, share_gpu, sharing_text
from search.spec_settings import ResourcesConfig


@pytest.mark.parametrize(
    ("peak_mb", "total_mb", "needed_mb", "num_trials", "gpus_per_trial"),
    [
        (3_100, 24_000, 4_320, 5, 0.2),
        (3_100, 17_280, 4_320, 4, 0.25),  # to the last megabyte
        (3_100, 17_279, 4_320, 3, 0.3333),
        (20_000, 24_000, 24_600, 1, 1.0),  # it ran, so one fits
        (1, 150_000, 601.2, 64, 0.0156),  # no more than four decimals can tell apart
    ],
)
def test_as_many_trials_as_fit_with_an_allowance(
    peak_mb: float, total_mb: float, needed_mb: float, num_trials: int, gpus_per_trial: float
) -> None:
    sharing = share_gpu(peak_mb, total_mb)
    assert sharing.needed_mb == pytest.approx(needed_mb)
    assert (sharing.num_trials, sharing.gpus_per_trial) == (num_trials, gpus_per_trial)


@pytest.mark.parametrize("num_trials", range(1, 65))
def test_the_suggested_share_gives_exactly_so_many_slots(
    num_trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "count_cpus", lambda: 100)
    monkeypatch.setattr(slots, "count_gpus", lambda: 1)
    share = GpuSharing(needed_mb=1, num_trials=num_trials).gpus_per_trial
    assert count_slots(ResourcesConfig(gpus_per_trial=share)) == num_trials


@pytest.mark.parametrize(
    ("gpus_per_trial", "advice"),
    [
        (1, "with resources.gpus_per_trial=0.25"),
        (2, "with resources.gpus_per_trial=0.25"),
        (0.5, "with resources.gpus_per_trial=0.25"),
        (0.25, "as resources.gpus_per_trial=0.25 has it"),
        (0.1, "but 10 share it now; set resources.gpus_per_trial=0.25"),
    ],
)
def test_the_suggestion_starts_from_what_is_set(gpus_per_trial: float, advice: str) -> None:
    assert sharing_text(3_100, 20_000, gpus_per_trial) == (
        "3.10GB at the peak, 4.32GB with an allowance for CUDA: "
        f"4 trials would fit the 20.0GB of a GPU here, {advice}"
    )
