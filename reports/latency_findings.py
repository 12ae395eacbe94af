"""Where a network with fewer FLOPs is not the faster one, as found by measuring."""

from __future__ import annotations

from dataclasses import dataclass

from reports.formats import percent
from reports.latency_records import LatencyMeasurement, MeasuredNetwork

__all__ = ["SlowerNetwork", "slower_networks"]

NOTICEABLE = 0.05
"""Smaller differences of medians are taken for noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowerNetwork:
    """A network that takes longer than one with more MACs. ``than``: that one's trial; None: the dense network.
    ``longer``: by which share of the other's time.
    """

    trial: int
    runtime: str
    than: int | None
    longer: float

    @property
    def text(self) -> str:
        """One sentence."""
        other = "the dense network" if self.than is None else f"trial {self.than}, which has more FLOPs"
        return f"trial {self.trial} is slower in {self.runtime} than {other}: by {percent(self.longer, 0)}"


def slower_networks(measurement: LatencyMeasurement) -> tuple[SlowerNetwork, ...]:
    """Return, of each runtime, the networks that are slower than the fastest of those with more MACs.

    A network that is slower than the dense one it was cut from is compared with that.
    """
    found = []
    for network in measurement.networks:
        if network.trial is None:
            continue
        for runtime in network.times:
            slower = _slower(network.trial, network, runtime, measurement)
            if slower is not None:
                found.append(slower)
    return tuple(found)


def _slower(
    trial: int, network: MeasuredNetwork, runtime: str, measurement: LatencyMeasurement
) -> SlowerNetwork | None:
    own_ms = network.times[runtime].median_ms
    dense = measurement.dense_of(network)
    larger = [
        other
        for other in measurement.networks
        if other.trial is not None and other.macs > network.macs and runtime in other.times
    ]
    fastest = min(larger, key=lambda other: other.times[runtime].median_ms, default=None)
    for other in (dense, fastest):
        if other is None or runtime not in other.times:
            continue
        longer = own_ms / other.times[runtime].median_ms - 1
        if longer > NOTICEABLE:
            return SlowerNetwork(trial=trial, runtime=runtime, than=other.trial, longer=longer)
    return None
