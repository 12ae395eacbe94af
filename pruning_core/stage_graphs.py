"""Which stages a run has, what each depends on, and which method scores what. This file loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pruning_core.config import MethodName


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """What a stage depends on.

    ``version``: raised when the stage computes something else from the same inputs. ``reads``: dotted names of
    fields (a name covers everything below it). ``ignores``: names below ``reads`` that do not count.
    ``is_shared``: other trials of a search can use its artifact, so it is built before the trials that need it.
    """

    version: int
    reads: tuple[str, ...]
    ignores: tuple[str, ...] = ()
    is_shared: bool = False


STAGES: dict[str, StageSpec] = {
    "dense": StageSpec(
        version=1,
        reads=("architecture", "dense_training", "dense_seed", "dataset.augmentation", "precision"),
        is_shared=True,
    ),
    "predictor": StageSpec(
        version=1,
        reads=(
            "saliency.max_num_basis",
            "saliency.anisotropic",
            "saliency.centre_margin",
            "saliency.width_range",
            "saliency.predictor",
            "saliency.seed",
            "dataset.augmentation",
            "precision",
        ),
        is_shared=True,
    ),
    "selector": StageSpec(
        version=1,
        reads=("saliency", "dataset.augmentation", "precision"),
        ignores=("saliency.predictor", "saliency.max_num_basis", "saliency.width_range"),
        is_shared=True,
    ),
    "explanations": StageSpec(version=1, reads=("gates.num_images",), is_shared=True),
    "importance": StageSpec(
        version=2,
        reads=("scoring", "importance", "channels.scope"),
        ignores=("importance.allocation",),
        is_shared=True,
    ),
    "sensitivity": StageSpec(
        version=2, reads=("scoring", "importance.num_images", "channels.scope"), is_shared=True
    ),
    "steer": StageSpec(
        version=2,
        reads=(
            "channels",
            "budgets",
            "latency_table",
            "gates",
            "loss_weights",
            "importance.allocation",
            "precision",
            "seed",
        ),
        ignores=("gates.num_images",),
    ),
    "allocate": StageSpec(
        version=2, reads=("method", "importance.allocation", "channels", "budgets", "latency_table", "seed")
    ),
    "fine_tune": StageSpec(
        version=2, reads=("recovery", "fine_tuning", "seed", "dataset.augmentation", "precision")
    ),
}

_STEERED: dict[str, tuple[str, ...]] = {
    "dense": (),
    "predictor": ("dense",),
    "selector": ("dense", "predictor"),
    "explanations": ("dense", "selector"),
    "steer": ("dense", "selector", "explanations"),
    "fine_tune": ("dense", "steer"),
}
_SCORED: dict[str, tuple[str, ...]] = {
    "dense": (),
    "importance": ("dense",),
    "allocate": ("dense", "importance"),
    "fine_tune": ("dense", "allocate"),
}
_WEIGHTS_ONLY: dict[str, tuple[str, ...]] = {
    "dense": (),
    "allocate": ("dense",),
    "fine_tune": ("dense", "allocate"),
}

STAGES_OF_METHOD: dict[MethodName, dict[str, tuple[str, ...]]] = {
    MethodName.INTERPRETATION_STEERED: _STEERED,
    MethodName.TASK_INSPIRED: _SCORED,
    MethodName.TAYLOR: _SCORED,
    MethodName.ATTRIBUTION: _SCORED,
    MethodName.TF_IDF: _SCORED,
    MethodName.GROUP_NORM: _WEIGHTS_ONLY,
    MethodName.LAMP: _WEIGHTS_ONLY,
    MethodName.BN_SCALE: _WEIGHTS_ONLY,
    MethodName.FPGM: _WEIGHTS_ONLY,
    MethodName.L2: _WEIGHTS_ONLY,
    MethodName.L1: _WEIGHTS_ONLY,
    MethodName.RANDOM: _WEIGHTS_ONLY,
}
"""Per method its stages in the order they run, each with its parents; ``stages_of`` adds what the allocation needs."""

DEFAULT_ALLOCATIONS: dict[MethodName, str | None] = {
    MethodName.INTERPRETATION_STEERED: None,  # learning the gates settles the widths as well
    MethodName.TASK_INSPIRED: "sensitivity",
    MethodName.TAYLOR: "global",
    MethodName.ATTRIBUTION: "global",
    MethodName.TF_IDF: "uniform",
    MethodName.GROUP_NORM: "global",
    MethodName.LAMP: "global",
    MethodName.BN_SCALE: "global",
    MethodName.FPGM: "uniform",
    MethodName.L2: "uniform",
    MethodName.L1: "uniform",
    MethodName.RANDOM: "uniform",
}
"""What ``importance.allocation: auto`` stands for: what each method's source does."""

ALLOCATION_VERSIONS: dict[str, int] = {"sensitivity": 2}
"""Raised, from 1, when an allocator divides the same budgets otherwise; moves the keys of runs with it alone."""

PRIOR_VERSION = 2
"""Raised when gates start otherwise from the same prior; moves the keys of runs with a prior alone."""

ALLOCATED_WIDTHS_VERSION = 2
"""Raised, from 1, when gates inside allocated widths end otherwise; moves the keys of such runs alone."""

_IMAGES_ALONE = ("scoring", "importance.num_images", "channels.scope")
_READ_LESS: dict[tuple[MethodName, str], tuple[str, ...]] = {
    (MethodName.TAYLOR, "importance"): _IMAGES_ALONE,
    (MethodName.ATTRIBUTION, "importance"): _IMAGES_ALONE,
    (MethodName.TF_IDF, "importance"): _IMAGES_ALONE,
}
"""What a stage reads of the configuration where a method needs less than the stage's specification says."""


def scoring_of(method: MethodName, prior: MethodName | None) -> MethodName | None:
    """Return the method whose importance a run uses: its own, that of its gates' prior, or None."""
    return prior if method is MethodName.INTERPRETATION_STEERED else method


def allocation_of(scoring: MethodName | None, allocation: str) -> str | None:
    """Return how budgets are divided between groups by the scores, with ``auto`` replaced; None without scores."""
    default = None if scoring is None else DEFAULT_ALLOCATIONS[scoring]
    return default if default is None or allocation == "auto" else allocation


def stages_of(
    method: MethodName, allocation: str = "auto", prior: MethodName | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the stages of a run in the order they run, each with its parents."""
    stages = dict(STAGES_OF_METHOD[method])
    scoring = scoring_of(method, prior)
    chooser = "steer" if "steer" in stages else "allocate"
    if scoring is not None and scoring is not method and "importance" in STAGES_OF_METHOD[scoring]:
        stages = _with_stage(stages, "importance", ("dense",), before=chooser)
    if allocation_of(scoring, allocation) == "sensitivity":
        parents = ("dense", "importance") if "importance" in stages else ("dense",)
        stages = _with_stage(stages, "sensitivity", parents, before=chooser)
    return stages


def _with_stage(
    stages: Mapping[str, tuple[str, ...]], added: str, added_parents: tuple[str, ...], *, before: str
) -> dict[str, tuple[str, ...]]:
    """Insert a stage right before another one, which gets it as a parent."""
    extended: dict[str, tuple[str, ...]] = {}
    for name, parents in stages.items():
        if name == before:
            extended |= {added: added_parents, name: (*parents, added)}
        else:
            extended[name] = parents
    return extended


def spec_of(scoring: MethodName | None, stage: str) -> StageSpec:
    """Return what a stage depends on in a run whose channels a method scores, or none."""
    spec = STAGES[stage]
    if scoring is None:
        return spec
    return replace(spec, reads=_READ_LESS.get((scoring, stage), spec.reads))
