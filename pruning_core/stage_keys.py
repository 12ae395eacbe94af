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

KEY_LENGTH = 24  # hexadecimal digits: 96 bits


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
        reads=("architecture", "dense_training", "dense_seed", "dataset.augmentation"),
        is_shared=True,
    ),
    "predictor": StageSpec(
        version=1,
        reads=(
            "saliency.max_num_basis",
            "saliency.centre_margin",
            "saliency.width_range",
            "saliency.predictor",
            "saliency.seed",
            "dataset.augmentation",
        ),
        is_shared=True,
    ),
    "selector": StageSpec(
        version=1,
        reads=("saliency", "dataset.augmentation"),
        ignores=("saliency.predictor", "saliency.max_num_basis", "saliency.width_range"),
        is_shared=True,
    ),
    "explanations": StageSpec(version=1, reads=("gates.num_images",), is_shared=True),
    "importance": StageSpec(version=1, reads=("importance", "channels.scope"), is_shared=True),
    "steer": StageSpec(
        version=1,
        reads=("channels", "budgets", "latency_table", "gates", "loss_weights", "seed"),
        ignores=("gates.num_images",),
    ),
    "allocate": StageSpec(version=1, reads=("method", "channels", "budgets", "latency_table", "seed")),
    "fine_tune": StageSpec(version=1, reads=("fine_tuning", "seed", "dataset.augmentation")),
}

ADDED_SINCE_FIRST_KEYS: dict[str, Any] = {
    "budgets.activation_memory": None,
    "budgets.latency_ms": None,
    "gates.dual_restarts": False,
    "latency_table": None,
}
"""Fields that came after keys were first made, with the value at which stages do what they did before: such a field is
in no key, so that studies of an earlier version go on."""

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
    MethodName.L1: _WEIGHTS_ONLY,
    MethodName.RANDOM: _WEIGHTS_ONLY,
}
"""Per method its stages in the order they run, each with its parents."""


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
    for name, parents in STAGES_OF_METHOD[config.method].items():
        spec = STAGES[name]
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


def fields_read_by(method: MethodName) -> frozenset[str]:
    """Return the dotted names of all fields that some stage of a method reads."""
    names: set[str] = set()
    fields = _flatten(PruningConfig().model_dump(mode="json"))
    for stage in STAGES_OF_METHOD[method]:
        names.update(_read_fields(fields, STAGES[stage]))
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
    """Return the flat fields with paths replaced by what lies there."""
    fields = _flatten(config.model_dump(mode="json"))
    checkpoint = config.architecture.checkpoint
    if checkpoint is not None:
        fields["architecture.checkpoint"] = _digest_checkpoint(checkpoint)
    if config.budgets.latency_ms is None:
        fields["latency_table"] = None
    elif config.latency_table is not None:
        fields["latency_table"] = _digest_latency_table(config.latency_table)
    module, _, function = config.architecture.name.partition(":")
    if function and module != "torchvision":
        fields["architecture.source"] = _digest_module(module)
    added = ADDED_SINCE_FIRST_KEYS
    return {name: value for name, value in fields.items() if name not in added or value != added[name]}


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
