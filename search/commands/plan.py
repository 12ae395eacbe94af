"""``prunefront plan``: what a search would run, before paying for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import typer

from pruning_core.data import load_data
from pruning_core.errors import InvalidSettingsError
from reports.formats import amount, counted
from search.backend import (
    STAGES_BACKEND,
    PruningBackend,
    backend_settings,
    load_backend,
    run_with_stages,
)
from search.effects import check_effects
from search.first_proposals import FirstProposal, first_proposals, proposal_rows, unlimited_notes
from search.gpu_sharing import gpu_memory_mb
from search.network_check import load_dense_weights
from search.probe import assume_slots, choose_to_probe, evaluate_probe, probe_pairs
from search.search_plan import SearchPlan, describe_once, plan_search
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.text_tables import pair_lines, table_lines

__all__ = ["PlanRequest", "make_plan", "plan_lines", "show_plan"]

_NUM_TO_PROBE_FROM = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """What to show beside the plan.

    ``num_configurations``: of those that the search begins with. ``probe``: run one of them, and say from it how long
    the search will take. ``price``: of one hour of one slot, in any currency; None: unknown. ``slots``: how many trials
    the estimate runs at once; None: as many as the search would on this machine.
    """

    num_configurations: int = 8
    probe: bool = False
    price: float | None = None
    slots: int | None = None


def show_plan(path: Path, overrides: Sequence[str], request: PlanRequest) -> None:
    """Print what a search would run.

    Raises:
        PrunefrontError: The spec, the data or the network cannot be used, or no budget can be met.
    """
    _check_probed(request)
    spec = load_spec(path, overrides)
    found = make_plan(spec)
    found.check_feasible()
    typer.echo("\n".join(plan_lines(spec, found)))
    settings = backend_settings(spec, _folder(spec), STAGES_BACKEND)
    backend = load_backend(settings)
    count = max(request.num_configurations, _NUM_TO_PROBE_FROM if request.probe else 0)
    proposals = first_proposals(spec, backend, describe_once(backend), count)
    if request.num_configurations:
        header, rows = proposal_rows(proposals[: request.num_configurations])
        notes = unlimited_notes(proposals[: request.num_configurations])
        typer.echo("\n".join(["", "The first configurations:", *table_lines(header, rows), *notes]))
    if request.probe:
        typer.echo("\n".join(["", *_probe_lines(spec, found, proposals, backend, request)]))


def make_plan(spec: SearchSpec) -> SearchPlan:
    """Find out what a search would run, with the real data and network.

    Raises:
        PrunefrontError: The data or the network cannot be used, or something that varies has no effect.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_effects(spec)
    settings = replace(backend_settings(spec, _folder(spec), STAGES_BACKEND), device="cpu")
    found = plan_search(spec, load_backend(settings))
    if spec.run.architecture.checkpoint is not None:
        load_dense_weights(spec.run, load_data(spec.run.dataset))  # or every trial would find out for itself
    return found


def _check_probed(request: PlanRequest) -> None:
    """Refuse options that would have no effect without a probe.

    Raises:
        InvalidSettingsError: Names the option.
    """
    for name, value in (("--price", request.price), ("--slots", request.slots)):
        if value is not None and not request.probe:
            raise InvalidSettingsError(f"{name} must come with --probe, which finds out how long trials take")


def _folder(spec: SearchSpec) -> StudyFolder:
    return StudyFolder(Path(spec.storage.path), spec.study)


def _probe_lines(
    spec: SearchSpec,
    found: SearchPlan,
    proposals: Sequence[FirstProposal],
    backend: PruningBackend,
    request: PlanRequest,
) -> list[str]:
    """Run one configuration of middling cost, and write what that says about the whole search."""
    slots = assume_slots(spec.resources, request.slots)
    chosen = choose_to_probe(proposals)
    typer.echo(
        "\nprobing: one configuration runs here; what it trains is not trained again by the search ..."
    )
    probe = evaluate_probe(spec, found, run_with_stages(chosen.config, backend), slots)
    gpu_mb = gpu_memory_mb() if spec.resources.gpus_per_trial else None
    return pair_lines(probe_pairs(probe, spec.resources, gpu_mb=gpu_mb, price=request.price))


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
