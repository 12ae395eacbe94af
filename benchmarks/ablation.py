"""What each part of pruning buys: methods and their parts after equal training.

    python -m benchmarks.ablation --data data/cifar10.npz --store results/artifacts --out docs/results

Every row prunes the same dense network (one per seed) to the same MACs with ``round_to: 1`` and updates the weights
equally often after the dense training: rows that train weights along with the gates fine-tune for as many epochs less.
Accuracies are of validation images, 12,500 of them, because differences are small: 18,750 are left to train on,
which takes less than half the time that 45,000 would. Differences are paired by seed. Finished stages are found in the
store, and finished runs in ablation.json, and not run again, so it can be interrupted at any time. With ``--workers
N``, N processes build stages side by side, on one device. With ``--images 50000 --validation-share 0.1 --gate-steps 351
--epochs 5 --saliency-epochs 4 2`` stages are those of `benchmarks.quality --preset cpu`. Writes ablation.json and
ablation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.ablation_page import render
from benchmarks.ablation_rows import REFERENCE, ROWS, make_config
from benchmarks.arguments import cifar_parser
from benchmarks.cells import Place, Table, fill_cells
from benchmarks.committed_stages import COMMITTED, copy_trained
from benchmarks.side_by_side import finish_side_by_side, stage_pool
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, plan_run, run_trial

__all__ = ["ablation_parser", "as_finished", "main", "options_of", "read_arguments"]


def ablation_parser(description: str | None, rows: Sequence[str] = tuple(ROWS)) -> argparse.ArgumentParser:
    """Return a parser of what ``make_config`` needs, and of which cells to fill: ``rows`` unless told otherwise."""
    parser = cifar_parser(description)
    # with fewer images or epochs every row ends where the dense network is
    parser.set_defaults(images=31_250, validation_share=0.4, dense_epochs=20)
    parser.add_argument("--gate-steps", type=int, default=146, help="default: one epoch")
    parser.add_argument("--epochs", type=int, default=4, help="of updates of the weights, in every row")
    parser.add_argument(
        "--saliency-epochs",
        type=int,
        nargs=2,
        default=[6, 3],
        metavar=("PREDICTOR", "SELECTOR"),
    )
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.25])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(rows), metavar="ROW")
    parser.add_argument("--workers", type=int, default=1, help="processes that build stages side by side")
    return parser


def options_of(args: argparse.Namespace) -> str:
    """Write the options that decide what the cells hold, as a command line."""
    return (
        f"--data cifar10.npz --architecture {args.architecture} "
        f"--images {args.images} --validation-share {args.validation_share:g} "
        f"--dense-epochs {args.dense_epochs} --saliency-epochs {' '.join(map(str, args.saliency_epochs))} "
        f"--gate-steps {args.gate_steps} --epochs {args.epochs} "
        f"--budgets {' '.join(map(str, args.budgets))} --seeds {' '.join(map(str, args.seeds))}"
    )


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    args = ablation_parser(__doc__).parse_args(argv)
    args.command = options_of(args)
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table cell by cell."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    store, committed = ArtifactStore(args.store), ArtifactStore(COMMITTED)
    data = load_data(make_config(args, REFERENCE, 0.5, 0).dataset)

    def identify(place: Place) -> dict[str, Any]:
        return {"trial_key": plan_run(make_config(args, *place), data.fingerprint).trial_key}

    def measure(place: Place) -> dict[str, Any]:
        copy_trained(plan_run(make_config(args, *place), data.fingerprint), committed, store)
        result = run_trial(make_config(args, *place), data=data, store=store, device=args.device)
        print(
            f"seed {place.seed}, MACs {place.macs:g}, {place.row}: {100 * result.accuracy:.1f} %", flush=True
        )
        plain = result.to_plain()
        return {
            **{name: plain[name] for name in KEPT_FIGURES},
            "macs_share": result.macs / result.dense_macs,
            "params_share": result.params / result.dense_params,
        }

    fill_cells(
        args,
        Table(
            name="ablation",
            rows=ROWS,
            identify=identify,
            measure=measure,
            render=render,
            in_turn=lambda places: as_finished(args, places, data),
        ),
    )


def as_finished(args: argparse.Namespace, places: Sequence[Place], data: DataSplits) -> Iterator[Place]:
    """Yield the places as they are, or, with several workers, as their runs are finished in the store."""
    if args.workers == 1:
        yield from places
        return
    runs = {place: make_config(args, *place) for place in places}
    plans = {place: plan_run(config, data.fingerprint) for place, config in runs.items()}
    dataset = make_config(args, REFERENCE, 0.5, 0).dataset
    with stage_pool(args.workers, dataset, args.store, device=args.device, threads=args.threads) as (
        pool,
        build,
    ):
        yield from finish_side_by_side(runs, plans, ArtifactStore(args.store), pool, build)


KEPT_FIGURES = (
    "num_images",
    "num_correct_dense",
    "num_correct_after_removal",
    "num_correct_after_reconstruction",
    "num_correct_fine_tuned",
    "explanation_distance",
    "explanation_similarity",
    "kept",
    "stage_seconds",
)


if __name__ == "__main__":
    main()
