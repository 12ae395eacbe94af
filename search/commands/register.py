"""``prunefront register``: the networks worth a name as versions of one registered model in MLflow.

A command of its own: it exports networks, which takes seconds each, and changes what others are served, so neither
`report` nor `pick` should do it by the way.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
import typer

from pruning_core.config import DatasetConfig, PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, load_dense_network, load_slim_network
from reports.formats import amount, percent, slim_accuracy
from reports.fronts import find_front, scores_of
from reports.records import TrialRecord
from reports.roles import network_roles
from search.artifact_address import artifact_address
from search.exporting.checks import check_cost, find_trial
from search.next_steps import command, open_study
from search.pick_book import read_picks
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.reading import read_attributes
from search.studies.records import read_study
from search.text_tables import table_lines
from search.tracking.writer import quieten_mlflow

__all__ = ["register_study"]

_NUM_EXAMPLES = 8
_SERVING_PORT = 5002


def register_study(study: str, storage: Path) -> None:
    """Register the networks of a study's front that have a role, and print which version is which.

    Raises:
        PrunefrontError: There is no such study, or a network is not what was recorded.
        ValueError: The study has no network yet.
    """
    folder = open_study(study, storage)
    spec = load_spec(folder.spec_path)
    add_plug_in_path(spec.plug_ins)
    roles = _roles(folder)
    quieten_mlflow()
    from search.tracking.projection import project_study
    from search.tracking.registry import Registry

    projection = project_study(folder)
    registry = Registry(projection, study, read_attributes(folder)["id"])
    networks = _Networks(ArtifactStore(artifact_address(spec, folder)))
    versions, rows = {}, []
    for alias, record in roles.items():
        version = registry.add(record, partial(networks.save_slim, record))
        versions[alias] = version.number
        rows.append(_row(alias, record, version.number, is_new=version.is_new))
    base = next(iter(roles.values()))
    registry.fill_dense(partial(networks.save_dense, base))
    registry.set_aliases(versions)
    typer.echo("\n".join(_lines(folder, projection.uri, rows, has_champion="champion" in roles)))


@dataclass(frozen=True, slots=True)
class _Networks:
    """Networks of finished trials, as MLflow models."""

    store: ArtifactStore

    def save_slim(self, record: TrialRecord, path: Path, identity: Mapping[str, str]) -> None:
        """Write a trial's network, after its cost is counted again."""
        config, data = _configuration(record)
        network = load_slim_network(config, data=data, store=self.store)
        check_cost(network, record, data.input_shape)
        _save(network, data, path, identity)

    def save_dense(self, record: TrialRecord, path: Path, identity: Mapping[str, str]) -> None:
        """Write the dense network that a trial began with."""
        config, data = _configuration(record)
        _save(load_dense_network(config, data=data, store=self.store), data, path, identity)


def _roles(folder: StudyFolder) -> dict[str, TrialRecord]:
    """Return the networks to register by alias; ``champion`` is the one that was picked last, if one was."""
    records = read_study(folder)
    roles = network_roles(find_front(records))
    if not roles:
        raise ValueError(
            f"a study must have a complete and feasible trial to be registered, but '{folder.study}' has none yet"
        )
    picks = read_picks(folder)
    if picks:
        roles["champion"] = find_trial(records, picks[0]["trial"])
    return roles


def _save(network: torch.nn.Module, data: DataSplits, path: Path, identity: Mapping[str, str]) -> None:
    from search.tracking.model import save_model

    save_model(
        network,
        path,
        normalisation=data.normalisation,
        class_names=data.class_names,
        images_NCHW=data.validation.read(torch.arange(min(_NUM_EXAMPLES, len(data.validation)))),
        identity=identity,
    )


def _configuration(record: TrialRecord) -> tuple[PruningConfig, DataSplits]:
    config = load_config(record.config)
    return config, _load_data(config.dataset)


@lru_cache(maxsize=2)
def _load_data(config: DatasetConfig) -> DataSplits:
    return load_data(config)


def _row(alias: str, record: TrialRecord, version: str, *, is_new: bool) -> tuple[str, ...]:
    scores = scores_of(record)
    return (
        alias,
        f"{version}{' (new)' if is_new else ''}",
        str(record.number),
        slim_accuracy(scores),
        amount(scores.macs),
        percent(scores.macs_share),
        amount(scores.params),
        percent(scores.params_share),
    )


def _lines(
    folder: StudyFolder, address: str, rows: list[tuple[str, ...]], *, has_champion: bool
) -> list[str]:
    header = ("alias", "version", "trial", "accuracy", "FLOPs (MACs)", "kept", "params", "kept")
    serving = shlex.join(
        [
            *("mlflow", "models", "serve", "--env-manager", "local", "--port", str(_SERVING_PORT)),
            *("--model-uri", f"models:/{folder.study}@{'champion' if has_champion else 'balanced'}"),
        ]
    )
    lines = [f"registered model {folder.study!r} in {address}", *table_lines(header, rows)]
    if not has_champion:
        lines += ["", f"No champion: pick one first, such as with `{command(folder, 'pick', '--knee')}`."]
    return [*lines, "", "Serve it:", f"  MLFLOW_TRACKING_URI={shlex.quote(address)} {serving}"]
