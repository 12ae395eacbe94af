"""The parts of a search's spec: sampler, limits, resources, storage, and the name of the study."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from pruning_core.artifact_places.addresses import check_address
from pruning_core.setting_types import PositiveFloat, PositiveInt, Settings
from reports.records import TrialStatus
from search.database.url import check_database_url
from search.sampling.sampler_choice import AUTO, SAMPLER_NAMES

__all__ = [
    "COUNTED",
    "LimitsConfig",
    "ResourcesConfig",
    "SamplerConfig",
    "StorageConfig",
    "StudyName",
    "check_study_name",
]

COUNTED = (TrialStatus.COMPLETE, TrialStatus.STOPPED, TrialStatus.FAILED)
"""How trials end that ``limits.trials`` counts."""

RESERVED_NAMES = ("artifacts", "mlruns", "mlflow.db", "prunefront.json")
"""What lies beside the studies in a results folder, and so cannot be a study's name."""

_SMALLEST_SHARE = 0.0001  # of a GPU; Ray knows no finer ones
_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_study_name(name: str) -> str:
    """Return a study's name if it can name a folder on every system.

    Raises:
        ValueError: Other characters than letters, digits and ``. _ -``, or a name with another use.
    """
    if not _STUDY_NAME.fullmatch(name):
        raise ValueError(
            f"must start with a letter or digit and hold only letters, digits and . _ - (at most 100), but got {name!r}"
        )
    if name.lower() in RESERVED_NAMES:
        raise ValueError(f"must not be one of {', '.join(RESERVED_NAMES)}, but got {name!r}")
    return name


def _known_sampler(name: str) -> str:
    if name not in SAMPLER_NAMES:
        raise ValueError(f"unknown sampler {name!r}. Known samplers: {', '.join(sorted(SAMPLER_NAMES))}.")
    return name


def _server_address(address: str) -> str:
    if not address.startswith(("http://", "https://")):
        raise ValueError(
            f"must be the address of an MLflow server such as http://HOST:5000, but got {address!r}"
        )
    return address


def _share_or_whole(gpus: float) -> float:
    if not (gpus.is_integer() or _SMALLEST_SHARE <= gpus < 1):
        raise ValueError(
            f"must be 0, a share of one GPU (from {_SMALLEST_SHARE} to 1) or a whole number of them, but got {gpus:g}"
        )
    return gpus


class SamplerConfig(Settings):
    """Proposes configurations. ``name``: a key of ``SAMPLERS``, or ``auto``, which chooses by the number of trials and
    of objectives; the plan says which. ``seed``: same history, same proposals. ``learn_from``: earlier studies of the
    same results folder whose finished trials samplers see, where they are configurations of this search too.
    ``duplicates``: what becomes of a configuration that is proposed again: ``refuse``, so that samplers are asked for
    another, or ``new_seed``, which runs it under the next ``run.seed`` and so tells luck from merit.
    """

    name: Annotated[str, AfterValidator(_known_sampler)] = AUTO
    seed: int = 0
    learn_from: tuple[Annotated[str, AfterValidator(check_study_name)], ...] = ()
    duplicates: Literal["refuse", "new_seed"] = "refuse"


class LimitsConfig(Settings):
    """When the search ends: after ``trials`` that trained, or once ``hours`` have passed (running trials end first).

    ``memory_retries``: how often a trial that runs out of memory is run again, with half the batch sizes each time (its
    record says so), and a shared stage, as it is. ``max_failures``: how often a stage or trial whose process was killed
    is run again; machines that the cluster takes away on purpose do not count. An error that a trial raises itself is
    not tried again: the same settings and seed would raise it again.
    """

    trials: PositiveInt = 40
    hours: PositiveFloat | None = None
    memory_retries: Annotated[int, Field(ge=0)] = 2
    max_failures: Annotated[int, Field(ge=0)] = 1


class ResourcesConfig(Settings):
    """What one trial gets, and how many run at once (``slots``; null: as many as fit the machine or the cluster).

    ``gpus_per_trial``: a share of one GPU, or whole ones. ``processes_per_trial``: that train one network together, on
    one machine; they share the CPUs, and each has a GPU.
    """

    cpus_per_trial: PositiveInt = 1
    gpus_per_trial: Annotated[float, Field(ge=0), AfterValidator(_share_or_whole)] = 0
    processes_per_trial: PositiveInt = 1
    slots: PositiveInt | None = None

    @model_validator(mode="after")
    def _processes_have_what_they_need(self) -> Self:
        count = self.processes_per_trial
        if self.cpus_per_trial < count:
            raise ValueError(
                f"'resources.cpus_per_trial': must be at least the {count} of processes_per_trial, "
                f"but got {self.cpus_per_trial}"
            )
        if count > 1 and self.gpus_per_trial not in {0, count}:
            raise ValueError(
                f"'resources.gpus_per_trial': must be 0 or {count}, one for each of processes_per_trial, "
                f"but got {self.gpus_per_trial:g}"
            )
        return self


class StorageConfig(Settings):
    """Where results go. ``path``: folder, relative to the working directory. ``artifacts``: where finished stages lie,
    the absolute path of a folder or the URI of a bucket (null: a folder in ``path``). ``optuna``: address of a
    PostgreSQL database, without password (null: a journal file in the study's folder). ``mlflow``: address of a server
    (null: an sqlite database in ``path``).
    """

    path: str = "./results"
    artifacts: Annotated[str, AfterValidator(check_address)] | None = None
    optuna: Annotated[str, AfterValidator(check_database_url)] | None = None
    mlflow: Annotated[str, AfterValidator(_server_address)] | None = None


StudyName: TypeAlias = Annotated[str, AfterValidator(check_study_name)]
