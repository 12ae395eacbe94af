"""Compare samplers and halving rules on a recording, without training.

    python -m benchmarks.record_rungs SPEC.yaml --configurations 200 --out runs.jsonl
    python -m benchmarks.replay runs.jsonl --trainings 40 --slots 2 --seeds 5 --out docs/results

Every search gets the virtual time that so many whole trainings take on the slots, and is the real one: proposer,
samplers, halving rules and the study's records. Configurations that were recorded score what was recorded, others what
the surrogate says (`search.replay.surrogate`), whose held-out quality is printed. Writes replay.json and replay.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna

from reports.fronts import hypervolume_history
from reports.records import StudyRecords, TrialStatus
from search.halving import HALVINGS
from search.replay.backend import ReplayBackend
from search.replay.recording import Recording, read_recording
from search.replay.simulation import simulate
from search.replay.surrogate import FitQuality, Surrogate
from search.samplers import SAMPLERS

__all__ = ["Row", "main", "render", "replay_once"]

SHARES_OF_TIME = (0.25, 0.5, 1.0)
_FEW_ENOUGH_TRIALS = 1_000_000  # time ends the search, not their number


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One search. ``hypervolumes``: of its front, by the share of the time that had passed."""

    rule: str
    sampler: str
    seed: int
    num_configurations: int
    num_complete: int
    hypervolumes: Mapping[str, float]


def replay_once(
    recording: Recording,
    backend: ReplayBackend,
    *,
    rule: str,
    sampler: str,
    seed: int,
    slots: int,
    trainings: float,
) -> Row:
    """Run one search for as long as so many whole trainings take on the slots."""
    end = recording.epochs[-1]
    time_s = trainings * statistics.mean(run.seconds[end] for run in recording.runs) / slots
    plain = recording.spec.model_dump(mode="json")
    spec = type(recording.spec).model_validate(
        {
            **plain,
            "search": {name: one.written() for name, one in recording.spec.search.items()},
            "halving": {
                "rule": rule,
                "eta": recording.spec.halving.eta,
                "rungs": list(recording.spec.rungs) if rule != "none" else None,
            },
            "sampler": {"name": sampler, "seed": seed},
            "limits": {"trials": _FEW_ENOUGH_TRIALS, "hours": time_s / 3600},
        }
    )
    study = simulate(spec, backend, slots=slots)
    return Row(
        rule=rule,
        sampler=sampler,
        seed=seed,
        num_configurations=len(study.records),
        num_complete=sum(record.status is TrialStatus.COMPLETE for record in study.records),
        hypervolumes={f"{share:g}": _volume_at(study, share * time_s) for share in SHARES_OF_TIME},
    )


def render(rows: Sequence[Row], quality: Sequence[FitQuality], about: Sequence[str]) -> str:
    """Return the page as Markdown: means over seeds, with standard deviations where there are several."""
    times = " | ".join(f"hypervolume at {share:.0%}" for share in SHARES_OF_TIME)
    lines = ["# Samplers and halving rules on recorded runs", "", *about, ""]
    lines += [f"| rule | sampler | configurations | complete | {times} |", "|---|---" * 2 + "|---" * 3 + "|"]
    for rule, sampler in dict.fromkeys((row.rule, row.sampler) for row in rows):
        group = [row for row in rows if (row.rule, row.sampler) == (rule, sampler)]
        volumes = [_spread([row.hypervolumes[f"{share:g}"] for row in group]) for share in SHARES_OF_TIME]
        counts = [
            f"{statistics.mean(values):.0f}"
            for values in ([row.num_configurations for row in group], [row.num_complete for row in group])
        ]
        lines.append(f"| {rule} | {sampler} | {' | '.join([*counts, *volumes])} |")
    lines += [
        "",
        "Held-out quality of the surrogate:",
        "",
        "| epoch | figure | R squared | rank correlation |",
    ]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {one.epochs} | {one.figure} | {one.r_squared:.3f} | {one.rank_correlation:.3f} |"
        for one in quality
    ]
    return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None) -> None:
    """Replay every rule with every sampler and seed, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    parser.add_argument("--rules", nargs="+", choices=list(HALVINGS), default=list(HALVINGS))
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=["random", "tpe"])
    parser.add_argument("--trainings", type=float, default=40.0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recording = read_recording(options.recording)
    surrogate = Surrogate(recording, seed=0)
    backend = ReplayBackend(recording, surrogate)
    rows = [
        replay_once(
            recording,
            backend,
            rule=rule,
            sampler=sampler,
            seed=seed,
            slots=options.slots,
            trainings=options.trainings,
        )
        for rule in options.rules
        for sampler in options.samplers
        for seed in range(options.seeds)
    ]
    about = [
        f"{len(recording.runs)} recorded configurations, made by `{recording.command}`. Each search has the time of "
        f"{options.trainings:g} whole trainings on {options.slots} slots; means over {options.seeds} seeds.",
    ]
    page = render(rows, surrogate.quality, about)
    options.out.mkdir(parents=True, exist_ok=True)
    plain = {
        "about": about,
        "rows": [asdict(row) for row in rows],
        "surrogate": [asdict(one) for one in surrogate.quality],
    }
    (options.out / "replay.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    (options.out / "replay.md").write_text(page, encoding="utf-8")
    print(page)


def _volume_at(study: StudyRecords, seconds: float) -> float:
    return max((volume for at, volume in hypervolume_history(study) if at <= seconds), default=0.0)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    main()
