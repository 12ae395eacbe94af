"""``prunefront export``: a network as files that need nothing of ours, checked against what the study recorded."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import typer
from torch import Tensor, nn

from pruning_core.channels import count_cost
from pruning_core.channels.layout import Layout
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, iterate_batches, load_data
from pruning_core.errors import StorageError
from pruning_core.export import ExportReport, export_network
from pruning_core.stages import ArtifactStore, load_slim_network, slim_layout_of
from reports.formats import amount, percent
from reports.fronts import scores_of
from reports.records import StudyRecords, TestScores, TrialRecord, TrialStatus
from search.front_text import accuracy_with_interval
from search.next_steps import open_study
from search.pick_book import read_pick
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.study_folder import StudyFolder
from search.study_records import read_study
from search.test_scoring import score_on_test
from search.text_tables import table_lines

__all__ = ["check_cost", "export_trial", "find_trial"]

PICKED = "picked"
_NUM_EXAMPLES = 8


def export_trial(study: str, storage: Path, trial: str, out: Path | None) -> None:
    """Export a complete trial's network and print what was written and proved.

    Raises:
        PrunefrontError: There is no such trial, its network is not what was recorded, or it cannot be written.
    """
    folder = open_study(study, storage)
    add_plug_in_path(load_spec(folder.spec_path).plug_ins)
    record = find_trial(read_study(folder), _read_number(trial, folder))
    config = load_config(record.config)
    data = load_data(config.dataset)
    store = ArtifactStore(folder.artifacts_path)
    network = load_slim_network(config, data=data, store=store)
    check_cost(network, record, data.input_shape)
    test = score_on_test(config, data, store)
    target = out or folder.exports_path / f"trial-{record.number:04d}"
    report = export_network(
        network,
        target,
        architecture=config.architecture.model_dump(mode="json"),
        layout=cast(Layout, slim_layout_of(config, data=data, store=store)),
        input_shape=data.input_shape,
        class_names=data.class_names,
        normalisation=data.normalisation.to_plain(),
        facts=_facts(study, record, test),
        example_images=_example_images(data),
        overwrite=out is None,
    )
    typer.echo("\n".join(_lines(config, record, test, report)))


def find_trial(records: StudyRecords, number: int) -> TrialRecord:
    """Return a complete trial.

    Raises:
        ValueError: There is no such trial, or it has no network.
    """
    found = [record for record in records.records if record.number == number]
    if not found:
        complete = [one.number for one in records.records if one.status is TrialStatus.COMPLETE]
        known = ", ".join(str(number) for number in sorted(complete)) or "none"
        raise ValueError(f"study '{records.study}' has no trial {number}. Complete trials: {known}.")
    record = found[0]
    if record.status is not TrialStatus.COMPLETE:
        why = f": {record.reason}" if record.reason else ""
        raise ValueError(f"trial {number} must be complete to have a network, but it is {record.status}{why}")
    return record


def check_cost(network: nn.Module, record: TrialRecord, input_shape: tuple[int, int, int]) -> None:
    """Count a network's cost again and compare.

    Raises:
        StorageError: It is not what the trial recorded.
    """
    counted = count_cost(network, input_shape)
    scores = scores_of(record)
    if (counted.macs, counted.params) != (scores.macs, scores.params):
        raise StorageError(
            f"the network of trial {record.number} must cost what was recorded, {scores.macs} MACs and "
            f"{scores.params} params, but it costs {counted.macs} and {counted.params}; its artifact is not the "
            "trial's: delete it and resume the study"
        )


def _read_number(trial: str, folder: StudyFolder) -> int:
    if trial == PICKED:
        return read_pick(folder)
    if not trial.isdecimal():
        raise ValueError(f"a trial must be named by its number or as '{PICKED}', but got {trial!r}")
    return int(trial)


def _example_images(data: DataSplits) -> Tensor:
    batch = next(iterate_batches(data.validation, data.normalisation, batch_size=_NUM_EXAMPLES))
    return batch.images_NCHW


def _facts(study: str, record: TrialRecord, test: TestScores) -> dict[str, Any]:
    scores = scores_of(record)
    return {
        "made_by": f"prunefront {version('prunefront')}",
        "study": study,
        "trial": record.number,
        "trial_key": record.trial_key,
        "method": record.method,
        "varied": dict(record.varied),
        "macs": scores.macs,
        "macs_share": scores.macs_share,
        "params": scores.params,
        "params_share": scores.params_share,
        "validation": {
            "num_images": scores.num_images,
            "num_correct": scores.num_correct_fine_tuned,
            "num_correct_dense": scores.num_correct_dense,
        },
        "test": test.model_dump(),
    }


def _lines(config: PruningConfig, record: TrialRecord, test: TestScores, report: ExportReport) -> list[str]:
    scores = scores_of(record)
    slim, dense = (
        accuracy_with_interval(correct, test.num_images)
        for correct in (test.num_correct, test.num_correct_dense)
    )
    files = [(f"  {name}", f"{size:,} bytes") for name, size in report.num_bytes.items()]
    checks = [
        f"  {name} equals the network {_to(difference)}"
        for name, difference in report.relative_differences.items()
    ]
    return [
        f"trial {record.number} of study {record.study}: {config.architecture.name} with "
        f"{amount(scores.macs)} FLOPs (MACs) ({percent(scores.macs_share)} of dense) and "
        f"{amount(scores.params)} params ({percent(scores.params_share)}), counted again",
        f"test accuracy {slim}; dense {dense}; on {test.num_images:,} images",
        str(report.folder),
        *table_lines(("  file", "size"), files),
        *checks,
    ]


def _to(difference: float) -> str:
    return "exactly" if difference == 0 else f"to {difference:.1e} (max|difference| / max|logit|)"
