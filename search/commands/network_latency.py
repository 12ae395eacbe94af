"""``prunefront latency STUDY``: how fast finished networks are, beside the dense ones they were cut from."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime
import torch
import typer
from rich.progress import Progress
from torch import nn

from pruning_core.channels import count_cost
from pruning_core.config import load_config
from pruning_core.data import load_data
from pruning_core.errors import InvalidSettingsError
from pruning_core.latency.turns import (
    RUNTIMES,
    ForwardPass,
    TurnSettings,
    measure_in_turns,
    noise_batch,
    quantiles_ms,
)
from pruning_core.stages import ArtifactStore, load_dense_network, load_slim_network, plan_run
from reports.formats import amount, amount_of, counted, percent
from reports.fronts import find_front, scores_of
from reports.latency_findings import slower_networks
from reports.latency_records import LatencyMeasurement, MeasuredNetwork, PassTimes
from reports.records import StudyRecords, TrialRecord
from search.artifact_address import artifact_address
from search.commands.export import read_trial_number
from search.exporting.checks import check_cost, check_key, find_trial
from search.next_steps import command, open_study
from search.plug_in_path import add_plug_in_path
from search.spec import load_spec
from search.studies.folder import StudyFolder
from search.studies.latencies import add_latencies
from search.studies.records import read_study
from search.text_tables import table_lines

__all__ = ["NetworkLatencyRequest", "latency_lines", "measure_networks", "measure_trials"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkLatencyRequest:
    """What the user typed. ``trials``: numbers, or ``picked``; none: the front. ``runtimes``: keys of ``RUNTIMES`` with
    commas between them.
    """

    trials: Sequence[str] = ()
    runtimes: str = ",".join(RUNTIMES)
    settings: TurnSettings = field(default_factory=TurnSettings)

    @property
    def chosen_runtimes(self) -> tuple[str, ...]:
        """The runtimes, each once.

        Raises:
            InvalidSettingsError: One is unknown, or there is none.
        """
        names = tuple(dict.fromkeys(name.strip() for name in self.runtimes.split(",") if name.strip()))
        unknown = [name for name in names if name not in RUNTIMES]
        if unknown or not names:
            raise InvalidSettingsError(
                f"runtimes must be some of {', '.join(RUNTIMES)}, but got {unknown[0] if unknown else 'none'!r}"
            )
        return names


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Contestant:
    """A network that takes turns with others; ``network`` lies on the CPU."""

    trial: int | None
    key: str
    dense_key: str
    macs: int
    table_ms: float | None
    network: nn.Module
    input_shape: tuple[int, int, int]


def measure_networks(study: str, storage: Path, request: NetworkLatencyRequest, *, as_json: bool) -> None:
    """Measure networks of a study, keep the times in its folder, and print them.

    Raises:
        PrunefrontError: There is no such study or trial, or its network cannot be loaded or exported.
    """
    runtimes = request.chosen_runtimes
    folder = open_study(study, storage)
    add_plug_in_path(load_spec(folder.spec_path).plug_ins)
    records = _chosen(read_study(folder), request.trials, folder)
    measurement = measure_trials(records, folder, request.settings, runtimes)
    if as_json:
        typer.echo(measurement.model_dump_json(indent=2))
        return
    lines = [
        *latency_lines(measurement),
        "",
        str(folder.latencies_path),
        f"Next: {command(folder, 'report')}",
    ]
    typer.echo("\n".join(lines))


def measure_trials(
    records: Sequence[TrialRecord],
    folder: StudyFolder,
    settings: TurnSettings,
    runtimes: Sequence[str] = tuple(RUNTIMES),
) -> LatencyMeasurement:
    """Measure networks in turns with the dense ones they were cut from, and keep the times in the study's folder.

    Args:
        records: Complete trials.
        folder: Of their study.
        settings: How to measure.
        runtimes: Keys of ``RUNTIMES``.

    Raises:
        PrunefrontError: A network cannot be loaded or exported.
    """
    contestants = _load(records, ArtifactStore(artifact_address(load_spec(folder.spec_path), folder)))
    measurement = _measure(contestants, runtimes, settings)
    add_latencies(folder, measurement)
    return measurement


def latency_lines(measurement: LatencyMeasurement) -> list[str]:
    """Write a measurement as a table per runtime, and what is odd about it."""
    machine = ", ".join(f"{name} {value}" for name, value in measurement.machine.items())
    lines = [
        machine,
        f"batches of {measurement.batch_size}, {counted(measurement.num_threads, 'thread')}, "
        f"{measurement.passes} passes of each network in turns after {measurement.warm_up} to warm up",
    ]
    runtimes = dict.fromkeys(runtime for network in measurement.networks for runtime in network.times)
    for runtime in runtimes:
        lines += ["", runtime, *_runtime_lines(measurement, runtime)]
    findings = slower_networks(measurement)
    if findings:
        lines += ["", *(f"warning: {finding.text}" for finding in findings)]
    return lines


def _chosen(study: StudyRecords, trials: Sequence[str], folder: StudyFolder) -> list[TrialRecord]:
    if trials:
        numbers = dict.fromkeys(read_trial_number(trial, folder) for trial in trials)
        return [find_trial(study, number) for number in numbers]
    front = list(find_front(study).points)
    if not front:
        raise ValueError(
            f"study '{study.study}' must have a network on its front to measure, but has none; "
            f"see {command(folder, 'status')}"
        )
    return front


def _load(records: Sequence[TrialRecord], store: ArtifactStore) -> list[_Contestant]:
    """Load the networks, and the dense ones that they were cut from, each of those once and first."""
    dense: dict[str, _Contestant] = {}
    slim = []
    for record in records:
        config = load_config(record.config)
        data = load_data(config.dataset)
        check_key(config, data, record)
        scores = scores_of(record)
        dense_key = plan_run(config, data.fingerprint).key_of("dense")
        network = load_slim_network(config, data=data, store=store)
        check_cost(network, record, data.input_shape)
        slim.append(
            _Contestant(
                trial=record.number,
                key=record.trial_key,
                dense_key=dense_key,
                macs=scores.macs,
                table_ms=scores.latency_ms,
                network=network,
                input_shape=data.input_shape,
            )
        )
        if dense_key not in dense:
            original = load_dense_network(config, data=data, store=store)
            dense[dense_key] = _Contestant(
                trial=None,
                key=dense_key,
                dense_key=dense_key,
                macs=count_cost(original, data.input_shape).macs,
                table_ms=scores.dense_latency_ms,
                network=original,
                input_shape=data.input_shape,
            )
    return [*dense.values(), *sorted(slim, key=lambda one: -one.macs)]


def _measure(
    contestants: Sequence[_Contestant], runtimes: Sequence[str], settings: TurnSettings
) -> LatencyMeasurement:
    passes: dict[tuple[str, str], ForwardPass] = {}
    with Progress(transient=True) as progress:
        task = progress.add_task("loading", total=len(contestants))
        for one in contestants:
            images_NCHW = noise_batch(one.input_shape, settings.batch_size)
            for runtime in runtimes:
                passes[one.key, runtime] = RUNTIMES[runtime](one.network, images_NCHW, settings.num_threads)
            progress.advance(task)
        task = progress.add_task("rounds", total=None)
        times = measure_in_turns(
            passes, settings, lambda done, total: progress.update(task, completed=done, total=total)
        )
    return LatencyMeasurement(
        measured_at=time.time(),
        machine=_machine(),
        num_threads=settings.num_threads,
        batch_size=settings.batch_size,
        warm_up=settings.warm_up,
        passes=settings.passes,
        networks=tuple(_measured(one, runtimes, times) for one in contestants),
    )


def _measured(
    one: _Contestant, runtimes: Sequence[str], times: Mapping[tuple[str, str], list[float]]
) -> MeasuredNetwork:
    found = {}
    for runtime in runtimes:
        median_ms, p90_ms = quantiles_ms(times[one.key, runtime])
        found[runtime] = PassTimes(median_ms=median_ms, p90_ms=p90_ms)
    return MeasuredNetwork(
        trial=one.trial,
        key=one.key,
        dense_key=one.dense_key,
        macs=one.macs,
        table_ms=one.table_ms,
        times=found,
    )


def _machine() -> dict[str, str | int | float | bool | None]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _processor() -> str:
    """Return what the processor calls itself where the system says it, and its kind otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] != "unknown" else platform.processor() or platform.machine()


def _runtime_lines(measurement: LatencyMeasurement, runtime: str) -> list[str]:
    """A row per network. The table is of layers in torch, so its error is against torch."""
    networks = [network for network in measurement.networks if runtime in network.times]
    has_table = runtime == "torch" and any(network.table_ms is not None for network in networks)
    header = ("trial", "FLOPs (MACs)", "median", "p90", "of dense")
    rows = [_row(network, runtime, measurement, has_table=has_table) for network in networks]
    return table_lines((*header, *(("by table", "table error") if has_table else ())), rows)


def _row(
    network: MeasuredNetwork, runtime: str, measurement: LatencyMeasurement, *, has_table: bool
) -> tuple[str, ...]:
    times, dense = network.times[runtime], measurement.dense_of(network)
    row = (
        "dense" if network.trial is None else str(network.trial),
        amount(network.macs),
        amount_of("latency_ms", times.median_ms),
        amount_of("latency_ms", times.p90_ms),
        "" if dense is None else percent(times.median_ms / dense.times[runtime].median_ms),
    )
    if not has_table:
        return row
    if network.table_ms is None:
        return (*row, "", "")
    error = network.table_ms / times.median_ms - 1
    return (*row, amount_of("latency_ms", network.table_ms), f"{100 * error:+.1f}%")
