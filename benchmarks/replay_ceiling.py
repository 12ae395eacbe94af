"""How much there is to win on a recording: searches by somebody who knows beforehand what each configuration promises.

    python -m benchmarks.replay_ceiling benchmarks/recordings/cifar10.jsonl --out docs/results

Configurations score what the recording's surrogate expects of them, plus luck, which nobody can know. Somebody who
knows all expectations and how luck is spread takes, of many random configurations, the one that can be expected to add
the most hypervolume to what has come out so far, again and again until the time is up. A search has to learn the
expectations first. Beside it stand the searches of replay-RECORDING.json. Writes replay-RECORDING-ceiling.json and .md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.replay_curves import NUM_TIMES, band_of_time
from benchmarks.replay_runs import Conditions
from reports.fronts import GrowingFront, losses_of, volume_of
from search.replay.recording import RecordedRun, Recording, read_recording
from search.replay.surrogate import Surrogate
from search.sampling.inputs import Inputs
from spaces import Value

__all__ = ["choose_in_turn", "main", "render"]

SHARES = (0.25, 0.5, 1.0)
COMPARED = ("known_costs, none", "gp, none", "tpe, none", "random, none")
_DIGITS = 4
_NUM_LUCK = 8

Floats = NDArray[np.float64]


class AnyLuck(Surrogate):
    """A recording's surrogate that tells how a configuration might come out."""

    def outcomes(self, values: Mapping[str, Value], rows: Sequence[int]) -> list[RecordedRun]:
        """Return the outcomes with the luck that some recorded runs had."""
        all_RY, found = self._residuals_RY, []
        for row in rows:
            self._residuals_RY = all_RY[[row]]
            found.append(self.run(values))
        self._residuals_RY = all_RY
        return found


def choose_in_turn(possible_CLD: Floats, actual_CD: Floats, seconds_C: Floats, limit_s: float) -> list[int]:
    """Choose rows one by one, each the one that promises most beside what has come of those before it, in a time.

    What a row promises falls as the front grows, so that old figures are upper bounds, and few are computed anew.

    Args:
        possible_CLD: Normalised losses with L kinds of luck, all as likely.
        actual_CD: What comes of each row.
        seconds_C: Time that each takes.
        limit_s: Time that all chosen ones may take together.
    """

    def promise(row: int, front: GrowingFront, volume: float) -> float:
        beside = [volume_of(np.vstack([front.rows, possible_D])) for possible_D in possible_CLD[row]]
        return statistics.fmean(beside) - volume

    front, volume, spent_s = GrowingFront(actual_CD.shape[1]), 0.0, 0.0
    chosen: list[int] = []
    bounds = [(-promise(row, front, volume), row, 0) for row in range(len(actual_CD))]
    heapq.heapify(bounds)
    while bounds:
        _, row, num_then = heapq.heappop(bounds)
        if num_then < len(chosen):
            heapq.heappush(bounds, (-promise(row, front, volume), row, len(chosen)))
        elif spent_s + seconds_C[row] > limit_s:
            break
        else:
            chosen.append(row)
            spent_s += seconds_C[row]
            front.add(actual_CD[row])
            volume = volume_of(front.rows)
    return chosen


def measure(recording: Recording, conditions: Conditions, num_candidates: int, seed: int) -> list[float]:
    """Return the hypervolume, by share of the time, of one who knows what is to be expected."""
    surrogate = AnyLuck(recording, seed=0)
    inputs, rng = Inputs(recording.spec.space), np.random.default_rng(seed)
    luck = rng.choice(len(recording.runs), size=_NUM_LUCK, replace=False).tolist()
    end, objectives = recording.epochs[-1], recording.spec.objectives
    possible, actual, seconds = [], [], []
    for row_F in rng.random((num_candidates, inputs.num_inputs)):
        values = inputs.values(row_F)
        run = surrogate.run(values)
        possible.append([losses_of(one.scores[end], objectives) for one in surrogate.outcomes(values, luck)])
        actual.append(losses_of(run.scores[end], objectives))
        seconds.append(run.seconds[end])
    actual_CD = np.array(actual)
    whole_s = conditions.seconds(recording) * conditions.slots
    chosen = choose_in_turn(np.array(possible), actual_CD, np.array(seconds), whole_s)
    ended = np.cumsum(np.array(seconds)[chosen])
    return [round(volume_of(actual_CD[chosen][ended <= share * whole_s]), _DIGITS) for share in SHARES]


def render(figures: Mapping[str, Any], command: str) -> str:
    """Return the page as Markdown."""
    header = " | ".join(f"after {share:.0%} of the time" for share in SHARES)
    lines = [
        f"# How much there is to win on {figures['recording']}",
        "",
        f"    {command}",
        "",
        f"Hypervolume, medians. The first row chooses among {figures['candidates']:,} random configurations and knows",
        "what the surrogate expects of each, and how luck is spread; the others had to learn that. Nobody knows",
        "beforehand which luck a configuration has. It is no upper bound: a search is not confined to these",
        "configurations and can end higher.",
        "",
        f"| | {header} |",
        f"|---|{'---|' * len(SHARES)}",
        *(
            f"| {row} | {' | '.join(f'{one:.4f}' for one in volumes)} |"
            for row, volumes in figures["rows"].items()
        ),
        "",
        f"Machine: {figures['machine']}.",
        "",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3, help="sets of candidates")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(argv)
    name = args.recording.stem
    cells = json.loads((args.out / f"replay-{name}.json").read_text(encoding="utf-8"))
    conditions = Conditions(**{key: cells[0][key] for key in ("trainings", "slots", "eta")})
    recording = read_recording(args.recording)
    by_seed = [measure(recording, conditions, args.candidates, seed) for seed in range(args.seeds)]
    knowing = [statistics.median(volumes) for volumes in zip(*by_seed, strict=True)]
    places = [round(share * NUM_TIMES) - 1 for share in SHARES]
    searches = {
        row: band_of_time([cell for cell in cells if cell["row"] == row]).median_G[places].tolist()
        for row in COMPARED
    }
    figures = {
        "recording": name,
        "candidates": args.candidates,
        "by_seed": by_seed,
        "rows": {"knows what to expect": knowing, **searches},
        "machine": describe_machine("cpu", 1),
    }
    stem = args.out / f"replay-{name}-ceiling"
    stem.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    command = (
        f"python -m benchmarks.replay_ceiling {args.recording} --candidates {args.candidates} "
        f"--seeds {args.seeds}"
    )
    page = render(figures, command)
    stem.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
