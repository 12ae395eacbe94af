"""Measured latencies of a study's networks: the file in its folder."""

from __future__ import annotations

from pydantic import ValidationError

from pruning_core.errors import StorageError
from reports.latency_records import LatencyMeasurement, MeasuredLatencies
from search.disk import storage_errors, write_whole
from search.studies.folder import StudyFolder

__all__ = ["add_latencies", "read_latencies"]


def read_latencies(folder: StudyFolder) -> tuple[LatencyMeasurement, ...]:
    """Return what was measured of a study's networks, oldest first.

    Raises:
        StorageError: The file is not one of this version.
    """
    path = folder.latencies_path
    try:
        return MeasuredLatencies.model_validate_json(path.read_text(encoding="utf-8")).measurements
    except FileNotFoundError:
        return ()
    except (ValidationError, UnicodeDecodeError):
        raise StorageError(
            f"{path} must hold measured latencies, but does not, or of another version; move it away and measure again"
        ) from None


def add_latencies(folder: StudyFolder, new: LatencyMeasurement) -> None:
    """Keep a measurement; of earlier ones under the same conditions, networks that took part in it again are dropped.

    Raises:
        StorageError: The file cannot be read or written.
    """
    kept = [_without(earlier, new) for earlier in read_latencies(folder)]
    measurements = (*(one for one in kept if any(network.trial is not None for network in one.networks)), new)
    text = MeasuredLatencies(measurements=measurements).model_dump_json(indent=1)
    with storage_errors(folder.path):
        write_whole(folder.latencies_path, text + "\n")


def _without(earlier: LatencyMeasurement, new: LatencyMeasurement) -> LatencyMeasurement:
    if _conditions(earlier) != _conditions(new):
        return earlier
    again = {network.trial for network in new.networks if network.trial is not None}
    networks = tuple(network for network in earlier.networks if network.trial not in again)
    return earlier.model_copy(update={"networks": networks})


def _conditions(measurement: LatencyMeasurement) -> tuple[object, ...]:
    return (measurement.machine, measurement.num_threads, measurement.batch_size)
