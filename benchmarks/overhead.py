"""What a search itself costs: trials that take no time, through `launch` and through bare Ray Tune.

    python -m benchmarks.overhead --out docs/results

Two measurements, nothing is trained:

* Throughput: as many trials through our driver (study on disk, MLflow, timeline, all of it) and through Ray Tune alone
  (random search, a trainable that reports one number, ``reuse_actors``, as many at once), in turns. Seconds are from
  the first trial's end to the last one's, so that starting Ray and its workers counts for nobody.
* Driver: CPU time of this process per trial, after 100, 1,000 and 10,000 trials of a search whose trials end at once,
  without Ray; trials before the last 100 are drawn at random. What samplers and Optuna's storage (a journal on disk)
  take of it is measured apart; the rest is ours, with the lines that `launch` prints where there is no terminal. What
  the live view of a terminal would take is measured beside it. So is what halving takes to decide, of searches with
  rungs; such a search hands out more than one piece of work per trial.

Writes overhead.json and overhead.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from search.early_stopping.halving import HALVINGS

_LENGTHS = (100, 1_000, 10_000)
_SIDES = ("prunefront", "ray")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=300, help="of each search through Ray")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samplers", nargs="+", default=["random", "auto", "along_front"])
    parser.add_argument(
        "--halvings", nargs="*", choices=list(HALVINGS), default=["promotion"], help="rules, each by itself"
    )
    parser.add_argument("--lengths", nargs="+", type=int, default=list(_LENGTHS))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    figures: dict[str, Any] = {
        "trials": args.trials,
        "slots": args.slots,
        "trials_per_second": {side: [] for side in _SIDES},
        "machine": describe_machine("cpu", 1),
        "driver": [],
    }
    for _ in range(args.repeats):
        for side in _SIDES:
            found = _measure(side, str(args.trials), str(args.slots))
            figures["trials_per_second"][side].append(found["trials_per_second"])
            print(f"{side}: {found['trials_per_second']:.1f} trials per second", flush=True)
    searches = [(sampler, "none") for sampler in args.samplers]
    searches += [("random", rule) for rule in args.halvings]
    for sampler, rule in searches:
        rows = _measure("driver", sampler, rule, *map(str, args.lengths))["rows"]
        figures["driver"] += rows
        for row in rows:
            print(_line(row), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "overhead.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (args.out / "overhead.md").write_text(render(figures, _command(args)), encoding="utf-8")


def render(figures: Mapping[str, Any], command: str) -> str:
    """Return the page as Markdown."""
    rates = {side: statistics.median(figures["trials_per_second"][side]) for side in _SIDES}
    lines = [
        "# What a search itself costs",
        "",
        f"    {command}",
        "",
        f"{figures['trials']} trials that take no time, {figures['slots']} at once; median of "
        f"{len(figures['trials_per_second']['ray'])} runs each, in turns.",
        "",
        "| | trials per second | runs |",
        "|---|---|---|",
        _rates_line("`launch`'s engine", figures["trials_per_second"]["prunefront"]),
        _rates_line("Ray Tune alone, `reuse_actors`", figures["trials_per_second"]["ray"]),
        "",
        f"Time per trial, ours over Ray Tune's: **{rates['ray'] / rates['prunefront']:.2f}** (target: at most 1.2).",
        "",
        "Milliseconds of the driver's CPU time per trial, of the last 100 before the study had so many (no Ray);",
        "trials before those are drawn at random. Our own has the line that is printed for a trial where there is no",
        "terminal; the live view of a terminal takes in the trial and is drawn once (in a search: twice a second).",
        "With a rule of halving, a trial is a piece of work for each rung that it trains to, and one for its end:",
        "",
        "| search | trials | pieces of work | sampler | Optuna's storage | our own (target: at most 5, flat) | halving "
        "| live view |",
        "|---|---|---|---|---|---|---|---|",
        *map(_driver_line, figures["driver"]),
        "",
        f"Machine: {figures['machine']}.",
        "",
    ]
    return "\n".join(lines)


def _rates_line(label: str, rates: Sequence[float]) -> str:
    return f"| {label} | {statistics.median(rates):.1f} | {', '.join(f'{rate:.1f}' for rate in rates)} |"


def _driver_line(row: Mapping[str, Any]) -> str:
    parts = [row["sampler_ms"], row["storage_ms"], row["own_ms"]]
    cells = [_name_of(row), f"{row['trials']:,}", f"{row['items']:.2f}", *(f"{part:.1f}" for part in parts)]
    return f"| {' | '.join(cells)} | {_halving_text(row)} | {row['live_ms']:.1f} |"


def _name_of(row: Mapping[str, Any]) -> str:
    return row["sampler"] if row["rule"] == "none" else f"{row['sampler']}, {row['rule']}"


def _halving_text(row: Mapping[str, Any]) -> str:
    return "" if row["rule"] == "none" else f"{row['halving_ms']:.1f}"


def _measure(*arguments: str) -> dict[str, Any]:
    """Run one measurement in a process of its own and return what its last line says."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "benchmarks.overhead_runs", folder, *arguments]
        done = subprocess.run(line, check=True, capture_output=True, text=True)  # noqa: S603 - our own module
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _command(args: argparse.Namespace) -> str:
    lengths = " ".join(map(str, args.lengths))
    return (
        f"python -m benchmarks.overhead --trials {args.trials} --slots {args.slots} --repeats {args.repeats} "
        f"--samplers {' '.join(args.samplers)} --halvings {' '.join(args.halvings)} --lengths {lengths}"
    )


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{_name_of(row)} at {row['trials']}: sampler {row['sampler_ms']:.1f} ms, storage {row['storage_ms']:.1f} ms, "
        f"own {row['own_ms']:.1f} ms, halving {row['halving_ms']:.1f} ms, live view {row['live_ms']:.1f} ms"
    )


if __name__ == "__main__":
    main()
