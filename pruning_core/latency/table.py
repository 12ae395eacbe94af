"""A table of measured layer latencies: the JSON file that ``prunefront latency`` writes and a latency budget reads.

A file belongs to one device; its layers are keyed by what they do apart from their widths, and every layer has a
grid over input and output channels. Loads no torch.

Shape suffixes used in this file:
    I, J  grid points along input and output channels
    K     layers that share a grid

References:
    [Shen2022] M. Shen et al. Structural Pruning via Latency-Saliency Knapsack. NeurIPS 2022 (lookup tables by layer
        shape, there with fixed inputs).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pruning_core.budgets import NANOSECONDS_PER_MS
from pruning_core.errors import InvalidSettingsError, StorageError
from pruning_core.latency.calibration import Calibration

Counts = npt.NDArray[np.int64]
Milliseconds = Annotated[float, Field(ge=0)]
MEASURE_COMMAND = "prunefront latency SPEC"


class _TableRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LatencyGrid(_TableRecord):
    """Median milliseconds ``ms[i][j]`` of a layer with ``inputs[i]`` and ``outputs[j]`` channels; both ascend.

    Layers that work on each channel alone have the one input 1: their outputs decide.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ms: tuple[tuple[Milliseconds, ...], ...]

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        for axis in (self.inputs, self.outputs):
            if not axis or axis[0] < 1 or any(low >= high for low, high in pairwise(axis)):
                raise ValueError(f"channels of a grid must ascend from 1 or more, but got {axis}")
        if {len(row) for row in self.ms} != {len(self.outputs)} or len(self.ms) != len(self.inputs):
            raise ValueError(
                f"a grid of {len(self.inputs)} x {len(self.outputs)} channels needs as many times"
            )
        return self

    @cached_property
    def nanoseconds(self) -> Counts:
        """``_IJ``: the monotone envelope, the least grid above the measured one that never falls."""
        measured_IJ = np.array(self.ms) * NANOSECONDS_PER_MS
        envelope_IJ = np.maximum.accumulate(np.maximum.accumulate(measured_IJ, axis=0), axis=1)
        return np.rint(envelope_IJ).astype(np.int64)

    def scaled(self, factor: float) -> LatencyGrid:
        """Return the grid with every time multiplied."""
        return LatencyGrid(
            inputs=self.inputs,
            outputs=self.outputs,
            ms=tuple(tuple(factor * one for one in row) for row in self.ms),
        )

    def covers(self, inputs: int, outputs: int) -> bool:
        """Tell whether a layer this wide lies within the grid."""
        return self.inputs[0] <= inputs <= self.inputs[-1] and self.outputs[0] <= outputs <= self.outputs[-1]

    def at(self, in_K: Counts, out_K: Counts) -> Counts:
        """Return nanoseconds at whole widths: bilinear between grid points, rounded down, in whole numbers."""
        above_i_K, part_in_K, span_in_K = _place(self.inputs, in_K)
        above_j_K, part_out_K, span_out_K = _place(self.outputs, out_K)
        ns_IJ = self.nanoseconds
        i_K, j_K = np.maximum(above_i_K - 1, 0), np.maximum(above_j_K - 1, 0)
        rest_in_K, rest_out_K = span_in_K - part_in_K, span_out_K - part_out_K
        weighted_K = rest_in_K * (rest_out_K * ns_IJ[i_K, j_K] + part_out_K * ns_IJ[i_K, above_j_K])
        weighted_K += part_in_K * (
            rest_out_K * ns_IJ[above_i_K, j_K] + part_out_K * ns_IJ[above_i_K, above_j_K]
        )
        nanoseconds_K: Counts = weighted_K // (span_in_K * span_out_K)
        return nanoseconds_K


class LatencyTable(_TableRecord):
    """What was measured on one device.

    ``device``: its name. ``layers``: grids by layer key, each layer alone. ``network_ms``: the whole dense network the
    table was measured for, end to end. ``calibration``: from the sum of layers to a network; tables of earlier versions
    have none.
    """

    schema_version: Literal[1] = 1
    device: str
    num_threads: int
    batch_size: int
    repeats: int
    torch_version: str
    network_ms: Milliseconds
    layers: dict[str, LatencyGrid]
    calibration: Calibration = Calibration()

    def with_calibration(self, calibration: Calibration) -> LatencyTable:
        """Return the same measurements with another calibration."""
        return LatencyTable.model_validate({**self.model_dump(), "calibration": calibration})

    @property
    def rest_nanoseconds(self) -> int:
        """What every network takes beside its layers."""
        return round(self.calibration.rest_ms * NANOSECONDS_PER_MS)

    @cached_property
    def calibrated_layers(self) -> dict[str, LatencyGrid]:
        """The grids as parts of whole networks."""
        return {key: grid.scaled(self.calibration.scale) for key, grid in self.layers.items()}

    def grid(self, key: str, inputs: int, outputs: int) -> LatencyGrid:
        """Return the calibrated grid that holds a layer.

        Raises:
            InvalidSettingsError: The table has no such layer, or none this wide.
        """
        grid = self.calibrated_layers.get(key)
        if grid is None or not grid.covers(inputs, outputs):
            raise InvalidSettingsError(
                f"latency_table must cover every layer of the network, but not '{key}' with {inputs} inputs and "
                f"{outputs} outputs; measure it again with: {MEASURE_COMMAND}"
            )
        return grid


def write_latency_table(table: LatencyTable, path: Path) -> None:
    """Write a table.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"the latency table must be written to {str(path)!r}, but: {error.strerror}"
        ) from error


def read_latency_table(path: str | None) -> LatencyTable:
    """Read a table.

    Raises:
        InvalidSettingsError: No table is named, or the file is none; says what to type.
    """
    if path is None:
        raise InvalidSettingsError(
            "budgets.latency_ms needs a measured table, but latency_table is not set; measure one with: "
            f"{MEASURE_COMMAND}, and set run.latency_table to its file"
        )
    try:
        return LatencyTable.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable_table(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise unreadable_table(path, "not UTF-8 text") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise unreadable_table(path, f"{place + ': ' if place else ''}{first['msg']}") from None


def unreadable_table(path: str, reason: str) -> InvalidSettingsError:
    """Return the error of a table that cannot be used."""
    return InvalidSettingsError(
        f"latency_table must be a table of latencies, but {path!r} is not: {reason}; measure it with: {MEASURE_COMMAND}"
    )


def _place(axis: Sequence[int], width_K: Counts) -> tuple[Counts, Counts, Counts]:
    """Return the grid point at or above each width, how far the width is above the one before, and how far apart
    those two are. An axis of one point has the width on it.
    """
    points = np.array(axis, dtype=np.int64)
    if len(points) == 1:
        zero_K = np.zeros_like(width_K)
        return zero_K, zero_K, zero_K + 1
    above_K = np.clip(np.searchsorted(points, width_K), 1, len(points) - 1)
    return above_K, width_K - points[above_K - 1], points[above_K] - points[above_K - 1]
