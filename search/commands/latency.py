"""``prunefront latency``: of a spec the layers, of a study its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pruning_core.errors import InvalidSettingsError
from pruning_core.latency.measuring import MeasuringSettings
from pruning_core.latency.turns import TurnSettings
from search.commands.layer_latency import measure_latency
from search.commands.network_latency import NetworkLatencyRequest, measure_networks

__all__ = ["LatencyRequest", "measure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyRequest:
    """What the user typed; None: not typed. ``values``: settings to change of a spec, or trials of a study."""

    target: str
    values: Sequence[str] = ()
    device: str = "cpu"
    threads: int = 1
    batch_size: int = 1
    repeats: int | None = None
    grid_points: int | None = None
    runtimes: str | None = None
    warm_up: int | None = None

    @property
    def is_of_spec(self) -> bool:
        """A file, or what is written like one; names of studies have no slash, and hardly such an ending."""
        return Path(self.target).is_file() or "/" in self.target or self.target.endswith((".yaml", ".yml"))


def measure(request: LatencyRequest, storage: Path, *, as_json: bool) -> None:
    """Measure what the target says.

    Raises:
        PrunefrontError: It cannot be read or measured, or an option is of no use for it.
    """
    if request.is_of_spec:
        _refuse(
            "of networks, for a study",
            {"--runtimes": request.runtimes, "--warm-up": request.warm_up},
            request,
        )
        _refuse("of networks, for a study", {"--json": as_json or None}, request)
        measure_latency(Path(request.target), request.values, _of_layers(request))
        return
    _refuse("of layers, for a spec", {"--grid-points": request.grid_points}, request)
    if request.device != "cpu":
        raise InvalidSettingsError(
            f"networks of a study are measured on the cpu, but --device is {request.device!r}; leave it out"
        )
    measure_networks(request.target, storage, _of_networks(request), as_json=as_json)


def _refuse(use: str, options: dict[str, object], request: LatencyRequest) -> None:
    for name, value in options.items():
        if value is not None:
            raise InvalidSettingsError(f"{name} is {use}, which {request.target!r} is not; leave it out")


def _of_layers(request: LatencyRequest) -> MeasuringSettings:
    defaults = MeasuringSettings()
    return MeasuringSettings(
        device=request.device,
        num_threads=request.threads,
        batch_size=request.batch_size,
        repeats=defaults.repeats if request.repeats is None else request.repeats,
        grid_points=defaults.grid_points if request.grid_points is None else request.grid_points,
    )


def _of_networks(request: LatencyRequest) -> NetworkLatencyRequest:
    defaults, plain = TurnSettings(), NetworkLatencyRequest()
    return NetworkLatencyRequest(
        trials=request.values,
        runtimes=plain.runtimes if request.runtimes is None else request.runtimes,
        settings=TurnSettings(
            num_threads=request.threads,
            batch_size=request.batch_size,
            warm_up=defaults.warm_up if request.warm_up is None else request.warm_up,
            passes=defaults.passes if request.repeats is None else request.repeats,
        ),
    )
