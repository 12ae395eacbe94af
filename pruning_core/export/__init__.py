"""Export of slim networks: verified files in one folder, and back."""

from pruning_core.export.exported_file import ExportedFile, NetworkExporter
from pruning_core.export.network_folder import (
    EXPORTERS,
    ExportReport,
    check_checksums,
    export_network,
    rebuild_network,
)

__all__ = [
    "EXPORTERS",
    "ExportReport",
    "ExportedFile",
    "NetworkExporter",
    "check_checksums",
    "export_network",
    "rebuild_network",
]
