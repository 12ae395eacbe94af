"""``prunefront plan``: what a search would run, before paying for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import typer

from pruning_core.data import load_data
from reports.formats import amount, counted
from search.artifact_address import artifact_address
from search.backend import BackendSettings, load_backend
from search.effects import check_effects
from search.network_check import load_dense_weights
from search.search_plan import SearchPlan, plan_search
from search.spec import SearchSpec, load_spec
from search.study_folder import StudyFolder
from search.text_tables import pair_lines

__all__ = ["REAL_BACKEND", "make_plan", "plan_lines", "show_plan"]

REAL_BACKEND = "search.stages_backend:create_backend"


def show_plan(path: Path, overrides: Sequence[str]) -> None:
    """Print what a search would run.

    Raises:
        PrunefrontError: The spec, the data or the network cannot be used, or no budget can be met.
    """
    spec = load_spec(path, overrides)
    found = make_plan(spec)
    found.check_feasible()
    typer.echo("\n".join(plan_lines(spec, found)))


def make_plan(spec: SearchSpec) -> SearchPlan:
    """Find out what a search would run, with the real data and network.

    Raises:
        PrunefrontError: The data or the network cannot be used, or something that varies has no effect.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_effects(spec)
    folder = StudyFolder(Path(spec.storage.path), spec.study)
    settings = BackendSettings(
        factory=REAL_BACKEND, artifacts=artifact_address(spec, folder), plug_ins=spec.plug_ins
    )
    found = plan_search(spec, load_backend(settings))
    if spec.run.architecture.checkpoint is not None:
        load_dense_weights(spec.run, load_data(spec.run.dataset))  # or every trial would find out for itself
    return found


def plan_lines(spec: SearchSpec, found: SearchPlan) -> list[str]:
    """Write a plan as lines of names and values."""
    facts = found.facts
    splits = ", ".join(
        f"{int(str(facts[f'dataset.num_{split}'])):,} {label}"
        for split, label in (("train", "training"), ("validation", "validation"), ("test", "test"))
    )
    macs, params = (amount(float(str(facts[f"dense.{resource}"]))) for resource in ("macs", "params"))
    pairs = [
        ("study", spec.study),
        ("data", f"{facts['dataset']}: {splits} images, {facts['dataset.num_classes']} classes"),
        ("network", f"{facts['architecture']}: {macs} FLOPs (MACs), {params} params"),
        ("", f"{facts['num_groups']} groups of channels, {facts['num_channels']} channels that may go"),
        *_named("search", [f"{name}: {spec.space.describe(name)}" for name in spec.space.distributions]),
        ("trials", _trials(spec)),
        ("sampler", f"{spec.sampler_choice}; seed {spec.sampler.seed}"),
        *_named("learns from", found.earlier),
        *([("halving", _halving(spec))] if spec.rungs else []),
        *_named("budgets", [f"{one.resource}: {one}" for one in found.budgets]),
        ("shared stages", ", ".join(f"{count} {name}" for name, count in found.num_shared_stages.items())),
    ]
    if spec.constraints:
        pairs += _named("constraints", [f"{name} {limit}" for name, limit in spec.constraints.items()])
    return pair_lines(pairs)


def _trials(spec: SearchSpec) -> str:
    available = spec.space.num_configurations
    wanted = spec.limits.trials
    hours = f", at most {spec.limits.hours:g} hours" if spec.limits.hours is not None else ""
    first = f", {len(spec.first)} of them given" if spec.first else ""
    of = "" if available is None else f" of {counted(available, 'configuration')}"
    if available is not None and available < wanted:
        wanted = available
    return f"{wanted}{of}{first}{hours}"


def _halving(spec: SearchSpec) -> str:
    """Say where trials are compared, and what becomes of them there."""
    *earlier, last = map(str, spec.rungs)
    places = f"{', '.join(earlier)} and {last}" if earlier else last
    at = f"after {places} of {counted(spec.run.fine_tuning.epochs, 'epoch')}"
    if spec.halving.rule == "all":
        return f"every trial is measured {at} and goes on"
    return f"{at}, the best 1/{spec.halving.eta} go on (rule {spec.halving.rule})"


def _named(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if index == 0 else "", value) for index, value in enumerate(values)]
