"""How often the stages' loops make the CPU wait for a GPU: what does not grow with the steps does not stall them."""

from __future__ import annotations

import warnings

import pytest
import torch

from benchmarks.speed_steps import Workload, trainings
from pruning_core.progress import report_no_step

TINY = Workload(architecture="cifar_resnet8", side=16, batch=8, num_classes=4, device="cuda")
WAITS_PER_STEP = {"training": 1, "steering": 2, "joint": 2, "predictor": 0, "selector": 0}
"""Training reads its losses once per epoch, which is one step here. Steering solves for the budget on the CPU: the
logits go there, and the shift is read back for the next step."""


def waits(kind: str, num_steps: int) -> int:
    """Count waits in a training of so many steps, the second in this process: constants are on the device by then."""
    for _ in range(2):
        train = trainings(TINY, num_steps)[kind]
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                train(report_no_step)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", WAITS_PER_STEP)
def test_steps_wait_for_the_gpu_no_more_often_than_they_must(kind: str) -> None:
    few, many = waits(kind, 4), waits(kind, 16)
    assert many - few <= 12 * WAITS_PER_STEP[kind]
