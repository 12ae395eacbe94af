"""Made-up measurements of latencies."""

from __future__ import annotations

from reports.latency_records import LatencyMeasurement, MeasuredNetwork, PassTimes

DENSE_KEY = "dense"


def network(
    trial: int | None, macs: int, *, table_ms: float | None = None, **medians_ms: float
) -> MeasuredNetwork:
    """A network whose 90th percentiles are a quarter above the medians; without a number it is the dense one."""
    return MeasuredNetwork(
        trial=trial,
        key=DENSE_KEY if trial is None else f"key of {trial}",
        dense_key=DENSE_KEY,
        macs=macs,
        table_ms=table_ms,
        times={name: PassTimes(median_ms=ms, p90_ms=1.25 * ms) for name, ms in medians_ms.items()},
    )


def measurement(
    *networks: MeasuredNetwork,
    measured_at: float = 1_790_000_500.0,
    num_threads: int = 1,
    batch_size: int = 1,
) -> LatencyMeasurement:
    """Networks that took turns."""
    return LatencyMeasurement(
        measured_at=measured_at,
        machine={"processor": "made up", "cores": 2},
        num_threads=num_threads,
        batch_size=batch_size,
        warm_up=10,
        passes=100,
        networks=networks,
    )
