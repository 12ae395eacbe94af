"""Latencies of finished networks, measured end to end after a search; see `search.commands.latency`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reports.scores import PlainRecord

__all__ = ["LatencyMeasurement", "MeasuredLatencies", "MeasuredNetwork", "PassTimes", "latest_of"]

Milliseconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class PassTimes(PlainRecord):
    """Milliseconds of one forward pass of a batch: the median and the 90th percentile of all passes."""

    median_ms: Milliseconds
    p90_ms: Milliseconds


class MeasuredNetwork(PlainRecord):
    """One network on one machine.

    ``trial``: its number; None for a dense network. ``key``: of the trial, or of the dense network. ``dense_key``:
    of the network it was cut from. ``table_ms``: what the table of layers says of it, where the search had one.
    ``times``: by runtime.
    """

    trial: Annotated[int, Field(ge=0)] | None = None
    key: str
    dense_key: str
    macs: Count
    table_ms: Milliseconds | None = None
    times: dict[str, PassTimes]


class LatencyMeasurement(PlainRecord):
    """Networks that took turns on one machine: slim ones beside the dense ones they were cut from.

    ``measured_at``: unix seconds. ``machine``: what it is called and which versions ran. ``warm_up``: passes of each
    network before any counted; ``passes``: those that did, of each network and runtime.
    """

    measured_at: float
    machine: dict[str, str | int | float | bool | None]
    num_threads: Count
    batch_size: Count
    warm_up: Annotated[int, Field(ge=0)]
    passes: Count
    networks: tuple[MeasuredNetwork, ...]

    def of_trial(self, number: int) -> MeasuredNetwork | None:
        """Return a trial's network, if it is among them."""
        return next((one for one in self.networks if one.trial == number), None)

    def dense_of(self, network: MeasuredNetwork) -> MeasuredNetwork | None:
        """Return the dense network that a slim one was cut from, if it is among them."""
        return next(
            (one for one in self.networks if one.trial is None and one.key == network.dense_key), None
        )


class MeasuredLatencies(PlainRecord):
    """All that was measured of a study, oldest first."""

    schema_version: Literal[1] = 1
    measurements: tuple[LatencyMeasurement, ...] = ()


def latest_of(measurements: tuple[LatencyMeasurement, ...], trial: int) -> LatencyMeasurement | None:
    """Return the last measurement that a trial's network took part in."""
    return next((one for one in reversed(measurements) if one.of_trial(trial) is not None), None)
