"""How many work items run at once on this machine."""

from __future__ import annotations

import os

from pruning_core.errors import InvalidSettingsError
from search.spec_settings import ResourcesConfig

__all__ = ["count_cpus", "count_gpus", "count_slots", "count_trials_on_gpus"]

_UNITS = 10_000  # of a GPU, in which Ray counts shares


def count_slots(resources: ResourcesConfig) -> int:
    """Return the slots that were asked for, or as many as fit the machine.

    Raises:
        InvalidSettingsError: One trial needs more than the machine has.
    """
    cpus = count_cpus()
    if resources.cpus_per_trial > cpus and resources.slots is None:
        raise InvalidSettingsError(
            f"'resources.cpus_per_trial': must be at most the {cpus} CPUs of this machine, "
            f"but got {resources.cpus_per_trial}"
        )
    fitting = cpus // resources.cpus_per_trial
    if resources.gpus_per_trial > 0:
        gpus = count_gpus()
        if resources.gpus_per_trial > gpus:
            raise InvalidSettingsError(
                f"'resources.gpus_per_trial': must be at most the {gpus} GPUs of this machine, "
                f"but got {resources.gpus_per_trial:g}"
            )
        on_gpus = count_trials_on_gpus(gpus, resources.gpus_per_trial)
        return min(resources.slots or fitting, on_gpus)
    return resources.slots or fitting


def count_trials_on_gpus(gpus: float, gpus_per_trial: float) -> int:
    """Return how many trials fit on the GPUs of one machine.

    A share of a GPU is never divided between two: two GPUs have room for two trials of 0.6, not for three.

    Args:
        gpus: That the machine has.
        gpus_per_trial: A share of one, or a whole number; not 0.
    """
    if gpus_per_trial >= 1:
        return int(gpus // gpus_per_trial)
    return int(gpus) * (_UNITS // int(gpus_per_trial * _UNITS + 1e-6))


def count_cpus() -> int:
    """Return the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_gpus() -> int:
    """Return the CUDA devices of this machine."""
    import torch  # seconds; only searches on GPUs need it here

    return int(torch.cuda.device_count())
