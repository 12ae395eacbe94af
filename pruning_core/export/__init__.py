"""Export of slim networks: verified files in one folder, and back."""

from pruning_core.export.batch_norm_folding import fold_batch_norm
from pruning_core.export.exported_file import ExportedFile, NetworkExporter
from pruning_core.export.int8_file import INT8_FILE, quantise_onnx
from pruning_core.export.loading import INPUT_LINES, LOADING_LINES
from pruning_core.export.network_folder import (
    EXPORTERS,
    ExportReport,
    NetworkOrigin,
    check_checksums,
    check_formats,
    check_target,
    export_network,
    rebuild_network,
)
from pruning_core.export.onnx_session import OnnxNetwork

__all__ = [
    "EXPORTERS",
    "INPUT_LINES",
    "INT8_FILE",
    "LOADING_LINES",
    "ExportReport",
    "ExportedFile",
    "NetworkExporter",
    "NetworkOrigin",
    "OnnxNetwork",
    "check_checksums",
    "check_formats",
    "check_target",
    "export_network",
    "fold_batch_norm",
    "quantise_onnx",
    "rebuild_network",
]
