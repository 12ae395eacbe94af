"""One search of `benchmarks.search_quality`, as the networks that it has after so many epochs.

An epoch is one pass over the training images that changes weights, gates, the mask predictor or a selector; the dense
network's are not counted, as every search begins with the same one. Forward passes are not counted either: neither
those that FastNAS scores its candidates by, nor our calibration; the seconds show them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from benchmarks.quality_rows import Preset
from benchmarks.quality_runs import measure_peer
from benchmarks.search_quality_rows import OurSearch, PeerSearch, peer_config, search_spec
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits
from pruning_core.stages import ArtifactStore, evaluate_on_test, run_stage
from reports.records import TrialRecord, TrialStatus
from search.driver import run_search
from search.studies.folder import StudyFolder
from search.studies.records import read_study

__all__ = ["Network", "Work", "epochs_by_record", "measure_peer", "run_ours", "run_peers", "van_der_corput"]

_MOST_SESSIONS = 8
_LARGEST_RATIO = 0.85
_MOST_TRIALS = 100_000  # of a study, so that no two seeds draw alike


class Network(TypedDict):
    """A fine-tuned network. ``epochs``: that the search had spent when it was finished."""

    epochs: float
    validation: float
    test: float
    macs_share: float
    params_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What is the same for every search of a table.

    Attributes:
        preset: Network, data, epochs.
        data: File that the runs read.
        splits: What is in it.
        results: Folder of the studies; finished stages, dense networks among them, lie in its ``artifacts``.
        epochs: That a search may spend.
        slots: Trials at once.
        environments: Folder of the peers' environments.
        device: Of torch.
        threads: Of the CPU, for each trial.
    """

    preset: Preset
    data: str
    splits: DataSplits
    results: Path
    epochs: int
    slots: int
    environments: Path
    device: str
    threads: int

    @property
    def store(self) -> Path:
        """Where finished stages lie."""
        return StudyFolder(self.results, "any").artifacts_path


def run_ours(work: Work, ours: OurSearch, name: str, seed: int) -> dict[str, Any]:
    """Search until the epochs are spent; goes on where it was interrupted.

    Halving makes trials of unequal length, so the study grows by as many trials as are likely to be paid for, until
    the epochs are spent; what finished after that does not count.

    Returns:
        ``networks``, the ``num_trials`` that were paid for, and ``seconds`` from the first to the last of them.
    """
    folder = StudyFolder(work.results, name)
    trials = max(work.slots, work.epochs // (work.preset.epochs + 1))
    for _ in range(_MOST_SESSIONS):
        spec = search_spec(
            work.preset,
            ours,
            work.data,
            study=name,
            seed=seed,
            trials=trials,
            slots=work.slots,
            storage=str(work.results),
        )
        run_search(spec, folder, resume=folder.exists, console=Console())
        records = read_study(folder).records
        spent = epochs_by_record(records, work.preset)
        if spent[-1] >= work.epochs:
            break
        per_trial = spent[-1] / len(records) or work.preset.epochs  # 0: no budget could be met so far
        trials += max(1, round((work.epochs - spent[-1]) / per_trial))
    paid = [(record, epochs) for record, epochs in zip(records, spent, strict=True) if epochs <= work.epochs]
    complete = [(record, epochs) for record, epochs in paid if record.status is TrialStatus.COMPLETE]
    return {
        "networks": [_network_of(work, record, epochs) for record, epochs in complete],
        "num_trials": len(paid),
        "seconds": _duration([record for record, _ in paid]),
    }


def epochs_by_record(records: Sequence[TrialRecord], preset: Preset) -> list[float]:
    """Return the epochs that a study had spent when each trial ended, in the order that they ended in."""
    seen: set[str] = set()
    spent, total = [], 0.0
    for record in records:
        config = load_config(record.config)
        total += _trained_epochs(record, config, preset)
        for stage, epochs in (
            ("predictor", config.saliency.predictor.epochs),
            ("selector", config.saliency.selector.epochs),
        ):
            key = record.artifact_keys.get(stage)
            if key is not None and key not in seen:
                seen.add(key)
                total += epochs
        spent.append(total)
    return spent


def _trained_epochs(record: TrialRecord, config: PruningConfig, preset: Preset) -> float:
    if record.status is TrialStatus.INFEASIBLE:
        return 0.0
    is_steered = config.method == "interpretation_steered"
    gates = config.gates.steps * config.gates.batch_size / preset.num_train if is_steered else 0.0
    reached = record.rungs[-1].epochs if record.status is TrialStatus.STOPPED else config.fine_tuning.epochs
    return gates + reached


def _network_of(work: Work, record: TrialRecord, epochs: float) -> Network:
    scores = record.scores
    assert scores is not None
    config, store = load_config(record.config), ArtifactStore(work.store)
    test, _ = evaluate_on_test(config, data=work.splits, store=store, device=work.device)
    return {
        "epochs": round(epochs, 2),
        "validation": scores.num_correct_fine_tuned / scores.num_images,
        "test": test.num_correct / test.num_images,
        "macs_share": scores.macs / scores.dense_macs,
        "params_share": scores.params / scores.dense_params,
    }


def _duration(records: Iterable[TrialRecord]) -> float:
    begun = [record.started_at for record in records if record.started_at is not None]
    ended = [record.finished_at for record in records if record.finished_at is not None]
    return max(ended) - min(begun)


def run_peers(work: Work, peer: PeerSearch, name: str, seed: int) -> dict[str, Any]:
    """Prune and fine-tune by a peer's tool until the epochs are spent; goes on where it was interrupted.

    Returns:
        As `run_ours`; ``seconds``: of all slots together, divided by their number.

    Raises:
        PeerError: The tool cannot be installed, or broke.
    """
    work.results.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{(work.results / f'{name}.db').absolute()}",
        study_name=name,
        directions=["maximize", "minimize", "minimize"],
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(
        seed=_MOST_TRIALS * seed + len(study.trials),  # goes on with other draws than it began with
        multivariate=True,
        constant_liar=work.slots > 1,
    )
    # One dense network for all, before several trials would train it at once.
    first = peer_config(work.preset, work.data, seed, {}, 1.0)
    run_stage("dense", first, data=work.splits, store=ArtifactStore(work.store), device=work.device)

    def objective(trial: optuna.Trial) -> tuple[float, float, float]:
        share, options = _removal(peer, trial)
        recipe = {
            "fine_tuning.learning_rate": trial.suggest_float("learning_rate", 0.003, 0.3, log=True),
            "fine_tuning.distillation.weight": trial.suggest_float("distillation", 0.0, 0.9),
        }
        config = peer_config(work.preset, work.data, seed, recipe, share)
        begun_at = time.monotonic()
        figures = measure_peer(
            replace(peer.tool, options={**peer.tool.options, **options}),
            config,
            work.splits,
            work.store,
            environments=work.environments,
            device=work.device,
            threads=work.threads,
        )
        trial.set_user_attr("figures", dict(figures))
        trial.set_user_attr("seconds", time.monotonic() - begun_at)
        validation = figures["num_correct_validation"] / figures["num_validation"]
        return validation, figures["macs_share"], figures["params_share"]

    wanted = work.epochs // work.preset.epochs
    missing = wanted - len(_complete(study))
    if missing > 0:
        study.optimize(objective, n_trials=missing, n_jobs=work.slots)
    complete = _complete(study)[:wanted]
    return {
        "networks": [
            _network_of_peer(trial, (place + 1) * work.preset.epochs) for place, trial in enumerate(complete)
        ],
        "num_trials": len(complete),
        "seconds": sum(trial.user_attrs["seconds"] for trial in complete) / work.slots,
    }


def _removal(peer: PeerSearch, trial: optuna.Trial) -> tuple[float, dict[str, Any]]:
    """Return the share of the MACs that the tool is told to keep, and what else it is told."""
    if not peer.stages:
        low, high = peer.shares
        return low * (high / low) ** van_der_corput(trial.number + 1), {}
    ratios = {stage: trial.suggest_float(stage, 0.0, _LARGEST_RATIO) for stage in peer.stages}
    return 1.0, {"ratios": ratios}


def van_der_corput(index: int) -> float:
    """Return a number of the sequence whose every beginning is spread evenly over (0, 1); ``index`` begins at 1."""
    digits = reversed(f"{index:b}")
    return sum(int(digit) * 0.5**place for place, digit in enumerate(digits, start=1))


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    """Return the finished trials in the order that they finished in."""
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(finished, key=lambda trial: trial.datetime_complete or datetime.max)


def _network_of_peer(trial: FrozenTrial, epochs: float) -> Network:
    figures = trial.user_attrs["figures"]
    return {
        "epochs": epochs,
        "validation": figures["num_correct_validation"] / figures["num_validation"],
        "test": figures["num_correct"] / figures["num_images"],
        "macs_share": figures["macs_share"],
        "params_share": figures["params_share"],
    }
