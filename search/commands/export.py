"""``prunefront export``: a network as files that need nothing of ours, checked against what the study recorded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import typer
from torch import Tensor, nn

from pruning_core.channels.layout import Layout
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, iterate_batches, load_data
from pruning_core.errors import InvalidSettingsError
from pruning_core.export import (
    EXPORTERS,
    ExportedFile,
    ExportReport,
    NetworkOrigin,
    check_formats,
    check_target,
    export_network,
    fold_batch_norm,
)
from pruning_core.stages import ArtifactStore, load_slim_network, slim_layout_of
from pruning_core.training import Evaluation
from reports.formats import amount, counted, percent
from reports.fronts import scores_of
from reports.latency_records import latest_of
from reports.records import TestScores, TrialRecord
from search.artifact_address import artifact_address
from search.exporting.card import equality_text, write_card
from search.exporting.checks import check_accuracy, check_cost, check_key, find_trial
from search.exporting.extras import ExportExtras, add_extras, parse_size
from search.front_text import accuracy_with_interval
from search.next_steps import open_study
from search.pick_book import read_pick
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from search.test_scoring import score_on_test
from search.text_tables import table_lines

__all__ = ["ExportRequest", "export_trial", "read_trial_number", "without_folders"]

PICKED = "picked"
_NUM_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """What the user typed. ``formats``: keys of ``EXPORTERS`` with commas between them. ``target_size``: ``1MB``."""

    trial: str
    out: Path | None = None
    formats: str = ",".join(EXPORTERS)
    fold_batch_norm: bool = False
    int8: bool = False
    target_size: str | None = None
    overwrite: bool = False

    @property
    def exporters(self) -> tuple[str, ...]:
        """The formats, each once.

        Raises:
            InvalidSettingsError: One is unknown, or another option needs one that is not asked for.
        """
        names = tuple(dict.fromkeys(name.strip() for name in self.formats.split(",") if name.strip()))
        check_formats(names)
        if self.int8 and "onnx" not in names:
            raise InvalidSettingsError(
                f"--int8 needs the format onnx, which it is made from, but --formats is {self.formats}; add onnx to it"
            )
        return names

    @property
    def target_bytes(self) -> int | None:
        """The largest size of a file.

        Raises:
            ValueError: It is no size.
        """
        return None if self.target_size is None else parse_size(self.target_size)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Subject:
    """A trial's network with its data and scores. ``validation``: found anew."""

    record: TrialRecord
    config: PruningConfig
    data: DataSplits
    network: nn.Module
    layout: Layout
    validation: Evaluation
    test: TestScores


def export_trial(study: str, storage: Path, request: ExportRequest) -> None:
    """Export a complete trial's network and print what was written and proved.

    Raises:
        PrunefrontError: There is no such trial, its network is not what was recorded, or it cannot be written.
    """
    formats, target_bytes = request.exporters, request.target_bytes
    folder = open_study(study, storage)
    spec = load_spec(folder.spec_path)
    add_plug_in_path(spec.plug_ins)
    records = read_study(folder)
    record = find_trial(records, read_trial_number(request.trial, folder))
    target = request.out or folder.exports_path / f"trial-{record.number:04d}"
    overwrite = request.overwrite or request.out is None
    check_target(target, overwrite=overwrite)
    subject = _load(record, ArtifactStore(artifact_address(spec, folder)))
    network, folded = subject.network, dict[str, str]()
    examples = _example_images(subject.data)
    if request.fold_batch_norm:
        network, folded = fold_batch_norm(network, examples)
    extras = ExportExtras()

    def complete(partial: Path, files: dict[str, ExportedFile]) -> Mapping[str, Any]:
        nonlocal extras
        extras = add_extras(
            partial, files, network, subject.data, as_int8=request.int8, target_bytes=target_bytes
        )
        write_card(
            partial,
            files,
            record=record,
            data=subject.data,
            test=subject.test,
            extras=extras,
            folded=len(folded),
            latency=latest_of(records.latencies, record.number),
        )
        return {"int8": None if extras.int8 is None else asdict(extras.int8)}

    report = export_network(
        network,
        target,
        _origin(subject, folded),
        example_images=examples,
        formats=formats,
        overwrite=overwrite,
        complete=complete,
    )
    typer.echo("\n".join(_lines(subject, report, extras, num_folded=len(folded))))


def read_trial_number(trial: str, folder: StudyFolder) -> int:
    """Return the trial that a user names by its number or as the one that was picked.

    Raises:
        ValueError: It is named in another way, or none was picked.
    """
    if trial == PICKED:
        return read_pick(folder)
    if not trial.isdecimal():
        raise ValueError(f"a trial must be named by its number or as '{PICKED}', but got {trial!r}")
    return int(trial)


def _load(record: TrialRecord, store: ArtifactStore) -> _Subject:
    """Build the network again and hold it against its record."""
    config = load_config(record.config)
    data = load_data(config.dataset)
    check_key(config, data, record)
    network = load_slim_network(config, data=data, store=store)
    check_cost(network, record, data.input_shape)
    return _Subject(
        record=record,
        config=config,
        data=data,
        network=network,
        layout=cast("Layout", slim_layout_of(config, data=data, store=store)),
        validation=check_accuracy(network, record, data),
        test=score_on_test(config, data, store),
    )


def _example_images(data: DataSplits) -> Tensor:
    batch = next(iterate_batches(data.validation, data.normalisation, batch_size=_NUM_EXAMPLES))
    return batch.images_NCHW


def _origin(subject: _Subject, folded: Mapping[str, str]) -> NetworkOrigin:
    return NetworkOrigin(
        architecture=without_folders(subject.record.config)["architecture"],
        layout=subject.layout,
        folded=folded,
        input_shape=subject.data.input_shape,
        class_names=subject.data.class_names,
        normalisation=subject.data.normalisation.to_plain(),
        facts=_facts(subject),
    )


def _facts(subject: _Subject) -> dict[str, Any]:
    record = subject.record
    scores = scores_of(record)
    return {
        "made_by": f"prunefront {version('prunefront')}",
        "study": record.study,
        "trial": record.number,
        "trial_key": record.trial_key,
        "method": record.method,
        "varied": dict(record.varied),
        "config": without_folders(record.config),
        "data_fingerprint": subject.data.fingerprint,
        "macs": scores.macs,
        "macs_share": scores.macs_share,
        "params": scores.params,
        "params_share": scores.params_share,
        "explanation_similarity": scores.explanation_similarity,
        "validation": {
            "num_images": scores.num_images,
            "num_correct": scores.num_correct_fine_tuned,
            "num_correct_when_exported": subject.validation.num_correct,
            "num_correct_dense": scores.num_correct_dense,
        },
        "test": subject.test.model_dump(),
    }


def without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with names of files in the place of where they lie: a folder that is passed on tells neither."""
    plain = copy.deepcopy(dict(config))
    for section, field in (
        (plain["dataset"], "root"),
        (plain["architecture"], "checkpoint"),
        (plain, "latency_table"),
    ):
        if section[field] is not None:
            section[field] = Path(section[field]).name
    return plain


def _lines(subject: _Subject, report: ExportReport, extras: ExportExtras, *, num_folded: int) -> list[str]:
    record, test = subject.record, subject.test
    scores = scores_of(record)
    slim, dense = (
        accuracy_with_interval(correct, test.num_images)
        for correct in (test.num_correct, test.num_correct_dense)
    )
    files = [(f"  {name}", f"{size:,} bytes") for name, size in report.num_bytes.items()]
    checks = [
        f"  {name} {equality_text(name, file.relative_difference)}" for name, file in report.files.items()
    ]
    return [
        f"trial {record.number} of study {record.study}: {subject.config.architecture.name} with "
        f"{amount(scores.macs)} FLOPs (MACs) ({percent(scores.macs_share)} of dense) and "
        f"{amount(scores.params)} params ({percent(scores.params_share)}), counted again",
        f"validation: {subject.validation.num_correct} of {subject.validation.num_images} right, "
        f"{_as_recorded(subject)}",
        f"test accuracy {slim}; dense {dense}; on {test.num_images:,} images",
        *_int8_lines(subject, extras),
        str(report.folder),
        *table_lines(("  file", "size"), files),
        *checks,
        *([f"  {counted(num_folded, 'batch normalisation')} folded"] if num_folded else []),
        *(f"  left out: {name}, {size:,} bytes" for name, size in extras.left_out),
    ]


def _as_recorded(subject: _Subject) -> str:
    recorded = scores_of(subject.record).num_correct_fine_tuned
    return "as recorded" if subject.validation.num_correct == recorded else f"{recorded} when it was recorded"


def _int8_lines(subject: _Subject, extras: ExportExtras) -> list[str]:
    if extras.int8 is None:
        return []
    num_images = subject.test.num_images
    return [
        f"in int8 {accuracy_with_interval(extras.int8.num_correct_test, num_images)}; on "
        f"{percent(extras.int8.num_same_test / num_images)} of them the same answer"
    ]
