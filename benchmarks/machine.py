"""What a figure depends on besides the code."""

from __future__ import annotations

import os
import platform

import torch


def describe_machine(device: str, threads: int) -> str:
    """Write the device, the processor's cores, the threads used by one process, and the version of torch."""
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    name = cores if device == "cpu" else f"{torch.cuda.get_device_name(device)}, {cores}"
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}, torch {torch.__version__}"
