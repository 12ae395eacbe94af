"""Our networks and the peers', of the same dense network, data, budget, epochs and fine-tuning.

    python -m benchmarks.data cifar10 --out data
    python -m benchmarks.quality --preset cpu --data data --store results/artifacts --out docs/results

Cells are filled in order of worth: seed by seed, budget by budget, ours and L1 first. Finished stages are found in
the store and finished cells in the table's file, so it can be interrupted at any time, and goes on elsewhere with
another device. Dense networks, predictors and selectors that lie in benchmarks/networks are not trained again;
``--keep`` puts those that were trained there. Peers' tools run in environments of their own, which
``--environments`` keeps; one that cannot be installed is named on the page. Writes quality-PRESET.json, .md and
.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.cells import Cell, Place, Table, fill_cells
from benchmarks.committed_stages import COMMITTED, copy_trained
from benchmarks.peers.environments import PeerError
from benchmarks.peers.pruners import PRUNERS
from benchmarks.quality_page import draw, render
from benchmarks.quality_rows import FIRST, PRESETS, ROWS, Preset, config_of
from benchmarks.quality_runs import measure_ours, measure_peer
from pruning_core.config import PruningConfig
from pruning_core.data import load_data
from pruning_core.stages import ArtifactStore, plan_run

__all__ = ["fill", "main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Fill a preset's table cell by cell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="cpu")
    parser.add_argument("--data", type=Path, required=True, help="folder of python -m benchmarks.data")
    parser.add_argument("--store", type=Path, default=Path("results/artifacts"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--environments", type=Path, default=Path("results/peers"))
    parser.add_argument("--device", help="as torch spells it; default: what the preset is meant for")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--budgets", type=float, nargs="+", help="some of the preset's; default: all")
    parser.add_argument("--keep", action="store_true", help="put trained networks into benchmarks/networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    args = parser.parse_args(argv)
    preset = PRESETS[args.preset]
    args.device = args.device or preset.device
    args.budgets = args.budgets or list(preset.budgets)
    fill(args, preset)


def fill(args: argparse.Namespace, preset: Preset) -> list[Cell]:
    """Fill the cells that the command line asks for; ``preset``: of the table."""
    torch.set_num_threads(args.threads)
    path = str((args.data / preset.file).absolute())  # peers' tools run in another folder
    name = f"quality-{args.preset}"
    missing: dict[str, str] = {}
    data = load_data(_config(preset, path, Place("random", 0.5, 0)).dataset)
    store, committed = ArtifactStore(args.store), ArtifactStore(COMMITTED)

    def identify(place: Place) -> dict[str, Any]:
        row, config = ROWS[place.row], _config(preset, path, place)
        identity = {"trial_key": plan_run(config, data.fingerprint).trial_key}
        if row.peer is not None:
            identity["peer"] = " ".join(
                [PRUNERS[row.peer].requirements[0], repr(sorted(row.options.items()))]
            )
        return identity

    def measure(place: Place) -> dict[str, Any] | None:
        row, config = ROWS[place.row], _config(preset, path, place)
        plan = plan_run(config, data.fingerprint)
        copy_trained(plan, committed, store)
        try:
            if row.peer is None:
                figures = measure_ours(config, data, store, device=args.device, threads=args.threads)
            else:
                figures = dict(
                    measure_peer(
                        row,
                        config,
                        data,
                        args.store,
                        environments=args.environments.absolute(),
                        device=args.device,
                        threads=args.threads,
                    )
                )
        except PeerError as error:
            missing[place.row] = str(error)
            print(error, flush=True)
            return None
        if args.keep:
            copy_trained(plan, store, committed)
        accuracy = 100 * figures["num_correct"] / figures["num_images"]
        print(f"seed {place.seed}, MACs {place.macs:g}, {place.row}: {accuracy:.2f} %", flush=True)
        return figures

    def page(_: argparse.Namespace, cells: Sequence[Cell]) -> str:
        if find_spec("matplotlib") is not None:  # a rented machine may lack it; the next one draws
            draw(cells, args.out / f"{name}.svg")
        command = f"python -m benchmarks.quality --preset {args.preset} --data data"
        return render(preset, command, cells, missing, f"{name}.svg")

    table = Table(
        name=name,
        rows=ROWS,
        identify=identify,
        measure=measure,
        render=page,
        in_turn=_by_worth,
        unable=missing,
    )
    return fill_cells(args, table)


def _config(preset: Preset, data: str, place: Place) -> PruningConfig:
    return config_of(preset, ROWS[place.row], data, macs=place.macs, seed=place.seed)


def _by_worth(places: Sequence[Place]) -> list[Place]:
    """Return ours and the reference at every budget and seed first."""
    return sorted(places, key=lambda place: place.row not in FIRST)


if __name__ == "__main__":
    main()
