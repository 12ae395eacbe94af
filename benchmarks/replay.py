"""Compare samplers, halving rules and other tools on a recording, without training.

    python -m benchmarks.record_rungs SPEC.yaml --configurations 160 --out benchmarks/recordings/cifar10.jsonl
    python -m benchmarks.replay benchmarks/recordings/cifar10.jsonl --trainings 60 --slots 2 --seeds 20 --minutes 8

Every search gets the virtual time that so many whole trainings take on the slots. Ours are the real ones: proposer,
samplers, halving rules and the study's records. Peers run their own loops in environments of their own, which are made
under ``--environments``, and get the same answers (`benchmarks.peers`). Configurations that were recorded score what
was recorded, others what the surrogate says (`search.replay.surrogate`), whose held-out quality is on the page.

Writes replay-NAME.json, .md and two plots to ``--out``, NAME being the recording's. Finished searches are found in the
file and not run again, unless the recording, the conditions or the code that decides has changed. ``--minutes`` ends
the command after so long; type it again for the rest.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.cells import Cell, Place, Table, fill_cells
from benchmarks.peers.environments import PeerError
from benchmarks.replay_page import render, rung_table
from benchmarks.replay_plots import plot_all
from benchmarks.replay_rows import ROWS, Settings
from benchmarks.replay_runs import Conditions, Ours, replay_ours, replay_peer
from search.replay.backend import ReplayBackend
from search.replay.recording import Recording, read_recording
from search.replay.surrogate import Surrogate

__all__ = ["main"]


class _Comparison:
    """Fills in one recording's table. ``missing``: peers that could not run, with the reason."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._conditions = Conditions(trainings=args.trainings, slots=args.slots, eta=args.eta)
        self._settings = Settings(recording=args.recording, conditions=self._conditions)
        self._recording: Recording = read_recording(args.recording)
        self._surrogate = Surrogate(self._recording, seed=0)
        self._backend = ReplayBackend(self._recording, self._surrogate)
        self.missing: dict[str, str] = {}

    def table(self, name: str) -> Table:
        """Return what is to be filled in."""
        return Table(
            name=name,
            rows=ROWS,
            identify=lambda place: self._settings.identify(place.row),
            measure=self._measure,
            render=self.render,
            in_turn=self._in_turn,
            is_long=True,
            unable=self.missing,
        )

    def _in_turn(self, places: Sequence[Place]) -> Iterator[Place]:
        """Leave out what there is no time for."""
        started = time.monotonic()
        for place in places:
            if time.monotonic() - started > 60 * self._args.minutes:
                print(f"{self._args.minutes:g} minutes are over; the same command goes on", flush=True)
                return
            yield place

    def _measure(self, place: Place) -> Mapping[str, Any] | None:
        started = time.process_time(), time.monotonic()
        try:
            figures = self._replay(place)
        except PeerError as error:
            self.missing[place.row] = str(error)
            print(f"{place.row}: {error}", flush=True)
            return None
        cost = {"cpu_s": time.process_time() - started[0], "real_s": time.monotonic() - started[1]}
        final = figures["steps"][-1][2] if figures["steps"] else 0.0
        print(f"{place.row}, seed {place.seed}: {final:.4f} in {cost['real_s']:.1f} s", flush=True)
        return {**figures, **{name: round(seconds, 2) for name, seconds in cost.items()}}

    def _replay(self, place: Place) -> dict[str, Any]:
        one = ROWS[place.row]
        if isinstance(one, Ours):
            return replay_ours(self._recording, self._backend, one, self._conditions, place.seed)
        return replay_peer(
            self._recording,
            self._backend,
            one,
            self._conditions,
            place.seed,
            environments=self._args.environments,
        )

    def render(self, args: argparse.Namespace, cells: Sequence[Cell]) -> str:
        """Return the page."""
        recording = self._recording
        epochs = ", ".join(map(str, recording.epochs[:-1]))
        about = [
            f"{len(recording.runs)} configurations of {recording.spec.study} were recorded by",
            "",
            *(f"    {line}" for line in recording.command.splitlines()),
            "",
            f"Every search has the virtual time of {args.trainings:g} whole trainings on {args.slots} slots:",
            "",
            f"    python -m benchmarks.replay {args.command}",
            "",
            "Median and quartiles over seeds. Hypervolume is the share of the box between accuracy 0 at the dense",
            "network's MACs and params and accuracy 1 at no cost; networks count once they are trained to the end.",
            f"Halving has rungs at epochs {epochs} of {recording.epochs[-1]} and lets one of {args.eta} go on; so do",
            "the peers' rules. Of the recorded trials:",
            "",
            *rung_table(recording),
        ]
        return render(
            f"Searches replayed on {args.recording.stem}",
            about,
            cells,
            self._surrogate.quality,
            self.missing,
            self._surrogate.accuracy_model,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Fill in what is missing of a recording's table, as far as the minutes go; write the page and the plots."""
    args = _read_arguments(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name = f"replay-{args.recording.stem}" + ("" if args.slots == 2 else f"-{args.slots}-slots")
    comparison = _Comparison(args)
    cells = fill_cells(args, comparison.table(name))
    if cells:
        plot_all(cells, args.out, name)


def _read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--trainings", type=float, default=60.0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--eta", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=20, help="seeds 0 to N - 1")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--environments", type=Path, default=Path("results/peers"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    args.command = (
        f"{args.recording} --trainings {args.trainings:g} --slots {args.slots} --eta {args.eta} "
        f"--seeds {args.seeds}"
    )
    args.seeds, args.budgets = list(range(args.seeds)), [1.0]
    args.device, args.threads = "cpu", 1
    return args


if __name__ == "__main__":
    main()
