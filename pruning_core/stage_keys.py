"""Stage keys: which work two pruning runs share.

A stage's key is a hash of its name and version, the configuration fields it reads, its parents' keys, and the
fingerprint of the data. Two runs with equal keys share the artifact. Devices, threads and paths are in no key: a
checkpoint counts by its content, a plug-in by its source. This file loads no torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruning_core.config import MethodName, PruningConfig
from pruning_core.errors import InvalidCheckpointError, InvalidSettingsError
from pruning_core.latency.table import unreadable_table
from pruning_core.stage_graphs import (
    ALLOCATED_WIDTHS_VERSION,
    ALLOCATION_VERSIONS,
    PRIOR_VERSION,
    StageSpec,
    allocation_of,
    scoring_of,
    spec_of,
    stages_of,
)

KEY_LENGTH = 24  # hexadecimal digits: 96 bits


ADDED_SINCE_FIRST_KEYS: dict[str, Any] = {
    "budgets.activation_memory": None,
    "budgets.block_macs": None,
    "budgets.latency_ms": None,
    "dense_training.distillation.features": 0.0,
    "fine_tuning.distillation.features": 0.0,
    "gates.dual_restarts": False,
    "gates.widths": "learned",
    "latency_table": None,
    "precision": "auto",
    "saliency.anisotropic": False,
    "saliency.predictor.hard_masks": False,
}
"""Fields that came after keys were first made, with the value at which stages do what they did before: such a field is
in no key, so that studies of an earlier version go on."""

_OF_BUDGET_TERMS = (
    "gates.budget_widths",
    "gates.dual_rate",
    "gates.dual_damping",
    "gates.dual_restarts",
    "loss_weights.budget",
)
"""Fields that count only where the budget is a loss term."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageNode:
    """One stage of one run. ``parents`` are keys of artifacts that must exist before it can start."""

    name: str
    key: str
    parents: tuple[str, ...]
    is_shared: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """The stages of one run, parents before children. Runs with equal ``trial_key`` give the same network."""

    nodes: tuple[StageNode, ...]

    @property
    def trial_key(self) -> str:
        """Key of the last stage: it covers every field that any stage of the run reads."""
        return self.nodes[-1].key

    def key_of(self, stage: str) -> str:
        """Return the key of a stage of this run.

        Raises:
            KeyError: The run's method has no such stage.
        """
        return {node.name: node.key for node in self.nodes}[stage]


def plan_run(config: PruningConfig, data_fingerprint: str) -> RunPlan:
    """Work out the stages of a run and their keys, without running anything.

    Raises:
        InvalidCheckpointError: The checkpoint named in the configuration cannot be read.
        InvalidSettingsError: A plug-in's module or the latency table cannot be found.
    """
    fields = _content_fields(config)
    keys: dict[str, str] = {}
    nodes: list[StageNode] = []
    scoring = scoring_of(config.method, config.gates.prior)
    for name, parents in stages_of(config.method, config.importance.allocation, config.gates.prior).items():
        spec = spec_of(scoring, name)
        parent_keys = tuple(keys[parent] for parent in parents)
        keys[name] = _digest(
            {
                "stage": name,
                "version": spec.version,
                "fields": _read_fields(fields, spec),
                "parents": parent_keys,
                "data": data_fingerprint,
            }
        )
        nodes.append(StageNode(name=name, key=keys[name], parents=parent_keys, is_shared=spec.is_shared))
    return RunPlan(nodes=tuple(nodes))


def fields_read_by(
    method: MethodName, allocation: str = "auto", prior: MethodName | None = None
) -> frozenset[str]:
    """Return the dotted names of all fields that some stage of a method reads."""
    names: set[str] = set()
    fields = _flatten(PruningConfig().model_dump(mode="json"))
    scoring = scoring_of(method, prior)
    for stage in stages_of(method, allocation, prior):
        names.update(_read_fields(fields, spec_of(scoring, stage)))
    if scoring is None:
        names -= {"importance.allocation", "gates.prior_sharpness", "gates.widths"}
    return frozenset(names)


def _read_fields(fields: Mapping[str, Any], spec: StageSpec) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if _is_below(name, spec.reads) and not _is_below(name, spec.ignores)
    }


def _is_below(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(_flatten(value, name + "."))
        else:
            flat[name] = value
    return flat


def _content_fields(config: PruningConfig) -> dict[str, Any]:
    """Return the flat fields with paths replaced by what lies there, and with one spelling for equal runs."""
    fields = _flatten(config.model_dump(mode="json"))
    scoring = scoring_of(config.method, config.gates.prior)
    fields["scoring"] = scoring
    allocation = allocation_of(scoring, config.importance.allocation)
    version = ALLOCATION_VERSIONS.get(allocation or "", 1)
    fields["importance.allocation"] = allocation if version == 1 else f"{allocation} {version}"
    if config.gates.prior is None:
        fields["gates.prior_sharpness"] = None
    else:
        fields["gates.prior"] = f"{config.gates.prior} {PRIOR_VERSION}"
    if config.gates.widths == "allocated":
        fields["gates.widths"] = f"allocated {ALLOCATED_WIDTHS_VERSION}"
    if config.gates.budget_term == "exact":
        fields |= dict.fromkeys(_OF_BUDGET_TERMS)
    if not config.recovery.reconstruct:
        fields["recovery.num_images"] = None
    checkpoint = config.architecture.checkpoint
    if checkpoint is not None:
        fields["architecture.checkpoint"] = _digest_checkpoint(checkpoint)
    if config.budgets.latency_ms is None:
        fields["latency_table"] = None
    elif config.latency_table is not None:
        fields["latency_table"] = _digest_latency_table(config.latency_table)
    module, _, function = config.architecture.name.partition(":")
    if function and module not in ("torchvision", "timm"):
        fields["architecture.source"] = _digest_module(module)
    added = ADDED_SINCE_FIRST_KEYS
    return {
        name: value for name, value in fields.items() if name not in added or value not in (None, added[name])
    }


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _digest_file(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _digest_checkpoint(path: str) -> str:
    try:
        return _digest_file(path)
    except OSError as error:
        raise InvalidCheckpointError(
            f"architecture.checkpoint must be a readable file, but {path!r} is not: {error.strerror}"
        ) from None


def _digest_latency_table(path: str) -> str:
    try:
        return _digest_file(path)
    except OSError as error:
        raise unreadable_table(path, error.strerror or str(error)) from None


def _digest_module(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise InvalidSettingsError(
            f"architecture.name: module {module!r} must be importable; start from the folder it lies in"
        )
    return _digest_checkpoint(found.origin)
