"""What each of two processes does in the tests of how they end together; loads torch and little else."""

from __future__ import annotations

import os
import signal
import sys

import torch
from torch import nn

from pruning_core.distributed.membership import joined, read_place
from pruning_core.distributed.processes import Processes


def fail(processes: Processes) -> None:
    """Let the second process fail in the middle of training."""
    network = nn.Linear(3, 2)
    learner = processes.data_parallel(network)
    for step in range(3):
        if processes.rank == 1 and step == 2:
            raise OSError(f"the disk is on fire in step {step}")
        learner(torch.ones(4, 3)).sum().backward()


def vanish(processes: Processes) -> None:
    """Let the second process be killed while the first waits for it."""
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.wait()


if __name__ == "__main__":
    with joined(read_place(os.environ), "cpu") as seen:
        {"fail": fail, "vanish": vanish}[sys.argv[1]](seen)
