"""Search against search: whose front is best when every search may train for the same number of epochs.

    python -m benchmarks.data cifar10 --out data
    python -m benchmarks.search_quality --preset cpu --data data --results results --out docs/results

All begin with the same dense network per seed, and fine-tune every network with the same recipe, whose learning rate
and distillation weight each search may vary. Ours run by ``prunefront launch``, other tools prune for Optuna's
proposals. Networks are chosen by validation images; the page shows what the chosen ones score on test images.

Finished cells are found in the table's file, and a search that was interrupted goes on where it was. Writes
search-quality-PRESET.json, .md and .svg.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.cells import Cell, Place, Table, fill_cells
from benchmarks.peers.environments import PeerError
from benchmarks.peers.pruners import PRUNERS
from benchmarks.quality_rows import Preset
from benchmarks.search_quality_page import draw, final_figures, render
from benchmarks.search_quality_rows import PRESETS, ROWS, OurSearch, peer_config, search_spec
from benchmarks.search_quality_runs import Work, run_ours, run_peers
from pruning_core.data import load_data
from pruning_core.stages import plan_run

__all__ = ["fill", "main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Fill a preset's table search by search."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="cpu")
    parser.add_argument("--data", type=Path, required=True, help="folder of python -m benchmarks.data")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="of the studies and their stages"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--environments", type=Path, default=Path("results/peers"))
    parser.add_argument("--epochs", type=int, default=160, help="of training that each search has")
    parser.add_argument("--slots", type=int, default=2, help="trials at once")
    parser.add_argument("--device", help="as torch spells it; default: what the preset is meant for")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU, for each trial")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    args = parser.parse_args(argv)
    preset = PRESETS[args.preset]
    args.device = args.device or preset.device
    fill(args, preset)


def fill(args: argparse.Namespace, preset: Preset) -> list[Cell]:
    """Fill the cells that the command line asks for; ``preset``: the work."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = str((args.data / preset.file).absolute())
    name = f"search-quality-{args.preset}"
    splits = load_data(peer_config(preset, path, 0, {}, 1.0).dataset)
    work = Work(
        preset=preset,
        data=path,
        splits=splits,
        results=args.results.absolute(),
        epochs=args.epochs,
        slots=args.slots,
        environments=args.environments.absolute(),
        device=args.device,
        threads=args.threads,
    )
    missing: dict[str, str] = {}
    args.budgets = [1.0]

    def identify(place: Place) -> dict[str, Any]:
        return {"epochs": args.epochs, "slots": args.slots, "search": _identity(work, place)}

    def measure(place: Place) -> dict[str, Any] | None:
        row, study = ROWS[place.row], _study_name(args, place)
        print(f"seed {place.seed}, {place.row} (study {study})", flush=True)
        try:
            if isinstance(row, OurSearch):
                figures = run_ours(work, row, study, place.seed)
            else:
                figures = run_peers(work, row, study, place.seed)
        except PeerError as error:
            missing[place.row] = str(error)
            print(error, flush=True)
            return None
        volume = final_figures({**figures, **place._asdict()}).volume
        print(f"seed {place.seed}, {place.row}: hypervolume {volume:.4f}", flush=True)
        return figures

    def page(_: argparse.Namespace, cells: Sequence[Cell]) -> str:
        draw(cells, args.out / f"{name}.svg")
        command = f"python -m benchmarks.search_quality --preset {args.preset} --data data"
        command += f" --epochs {args.epochs} --slots {args.slots}"
        return render(preset, command, cells, missing, f"{name}.svg")

    table = Table(
        name=name, rows=ROWS, identify=identify, measure=measure, render=page, is_long=True, unable=missing
    )
    return fill_cells(args, table)


def _study_name(args: argparse.Namespace, place: Place) -> str:
    row = list(ROWS).index(place.row)
    return f"search-quality-{args.preset}-{args.epochs}-{row}-{place.seed}"


def _identity(work: Work, place: Place) -> str:
    """Return what a search depends on besides its epochs and slots: its runs, what varies, who proposes and prunes."""
    row = ROWS[place.row]
    if isinstance(row, OurSearch):
        spec = search_spec(
            work.preset,
            row,
            work.data,
            study="any",
            seed=place.seed,
            trials=1,
            slots=work.slots,
            storage="any",
        )
        plan = plan_run(spec.run, work.splits.fingerprint)
        varied = json.dumps({field: one.written() for field, one in spec.search.items()}, sort_keys=True)
        return f"{plan.trial_key} {varied} {spec.sampler.name} {spec.halving.rule}"
    assert row.tool.peer is not None
    plan = plan_run(peer_config(work.preset, work.data, place.seed, {}, 1.0), work.splits.fingerprint)
    return f"{plan.trial_key} {row.stages} {PRUNERS[row.tool.peer].requirements[0]}"


if __name__ == "__main__":
    main()
