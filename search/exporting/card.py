"""From what an export found out to the card that lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pruning_core.data import DataSplits
from pruning_core.export import INPUT_LINES, LOADING_LINES, ExportedFile
from reports.latency_records import LatencyMeasurement
from reports.model_card import CardData, CardFile, ModelCard, render_model_card
from reports.records import TestScores, TrialRecord
from search.exporting.extras import INT8, ExportExtras

__all__ = ["CARD_FILE", "equality_text", "write_card"]

CARD_FILE = "model_card.md"
_FORMS = {
    "onnx": "ONNX, opset {opset}, any batch size",
    "pt2": "`torch.export` of torch {torch}, any batch size",
    "safetensors": "weights, for `network.json`",
    INT8: "ONNX in int8 (QDQ, per channel), opset {opset}, any batch size",
}
"""By exporter: what its file is, with the file's facts put in."""


def write_card(
    folder: Path,
    files: Mapping[str, ExportedFile],
    *,
    record: TrialRecord,
    data: DataSplits,
    test: TestScores,
    extras: ExportExtras,
    folded: int,
    latency: LatencyMeasurement | None,
) -> None:
    """Write ``model_card.md`` into an export's folder."""
    card = ModelCard(
        record=record,
        version=version("prunefront"),
        data=_data(record, data),
        test=test,
        files=[_file(folder, name, file) for name, file in files.items()],
        input_lines=INPUT_LINES,
        folded=folded,
        int8=extras.int8,
        latency=latency,
        target_bytes=extras.target_bytes,
        left_out=extras.left_out,
    )
    (folder / CARD_FILE).write_text(render_model_card(card), encoding="utf-8")


def equality_text(name: str, difference: float) -> str:
    """Say how far a file is from the network: ``equals the network exactly``."""
    if difference == 0:
        return "equals the network exactly"
    verb = "differs from the network by" if name == INT8 else "equals the network to"
    return f"{verb} {difference:.1e} (max|difference| / max|logit|)"


def _file(folder: Path, name: str, file: ExportedFile) -> CardFile:
    return CardFile(
        name=file.name,
        form=_FORMS.get(name, name).format(**file.facts),
        num_bytes=(folder / file.name).stat().st_size,
        check=equality_text(name, file.relative_difference).replace("|", "\\|"),
        lines=LOADING_LINES[name],
    )


def _data(record: TrialRecord, data: DataSplits) -> CardData:
    settings = record.config["dataset"]
    assert isinstance(settings, dict)
    return CardData(
        name=str(settings["name"]),
        num_train=len(data.train),
        num_validation=len(data.validation),
        num_test=len(data.test),
        num_classes=data.num_classes,
        input_shape=data.input_shape,
        fingerprint=data.fingerprint,
    )
