"""What each part of pruning buys: methods and their parts after equal training.

    python -m benchmarks.ablation --data data/cifar10.npz --store results/artifacts --out docs/results

Every row prunes the same dense network (one per seed) to the same MACs with ``round_to: 1`` and updates the weights
equally often after the dense training: rows that train weights along with the gates fine-tune for as many epochs less.
Accuracies are of validation images. Differences are paired by seed. Finished stages are found in the store,
and finished runs in ablation.json, and not run again, so it can be interrupted at any time. With ``--workers N``, N
processes build stages side by side, on one device. Writes ablation.json and ablation.md.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from benchmarks.arguments import cifar_dataset, cifar_parser
from benchmarks.cells import Place, Table, fill_cells, filled_on
from benchmarks.paired_rows import paired_difference, spread
from benchmarks.side_by_side import finish_side_by_side, stage_pool
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, plan_run, run_trial

_GATE_EPOCHS = "gate epochs"
"""No field of a run: how many times the ``--gate-steps``, for rows that fine-tune for as many epochs less."""

JOINT = {"gates.network_weights": "joint"}
FROZEN = {"gates.network_weights": "frozen"}
INSIDE = {"gates.widths": "allocated"}
BY_COST = {"importance.allocation": "cost"}
BY_FEATURES = {"fine_tuning.distillation.features": 10.0}
TAUGHT_GATES = {"gates.task_loss": "distillation"}
LABELS_ALONE = {"fine_tuning.distillation.weight": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "random": {"method": "random"},
    "L1, uniform": {"method": "l1"},
    "L1, uniform, taught by features too": {"method": "l1", **BY_FEATURES},
    "L1, uniform, taught by labels alone": {"method": "l1", **LABELS_ALONE},
    "L1, uniform, reconstructed": {"method": "l1", "recovery.reconstruct": True},
    "L1, by cost": {"method": "l1", **BY_COST},
    "L1, by cost, all groups": {"method": "l1", **BY_COST, "channels.scope": "all"},
    "L2, uniform": {"method": "l2"},
    "FPGM, uniform": {"method": "fpgm"},
    "BN scale, global": {"method": "bn_scale"},
    "LAMP, global": {"method": "lamp"},
    "Taylor, global": {"method": "taylor"},
    "attribution, global": {"method": "attribution"},
    "TF-IDF, uniform": {"method": "tf_idf"},
    "group L2, global": {"method": "group_norm"},
    "group L2, global, all groups": {"method": "group_norm", "channels.scope": "all"},
    "group L2, global, reconstructed": {"method": "group_norm", "recovery.reconstruct": True},
    "group L2, global, taught by features too": {"method": "group_norm", **BY_FEATURES},
    "group L2, global, all groups, taught by features too": {
        "method": "group_norm",
        "channels.scope": "all",
        **BY_FEATURES,
    },
    "task-inspired": {"method": "task_inspired"},
    "task-inspired, flow alone": {"method": "task_inspired", "importance.task_weight": 0.0},
    "task-inspired, task loss": {"method": "task_inspired", "importance.allocation": "task_loss"},
    "gates, frozen weights": FROZEN,
    "gates, frozen weights, steering 0": {**FROZEN, "loss_weights.steering": 0.0},
    "gates, frozen weights, taught by features too": {**FROZEN, **BY_FEATURES},
    "gates, frozen weights, inside L1 widths": {**FROZEN, **INSIDE, "gates.prior": "l1"},
    "gates, frozen weights, inside group L2 widths": {**FROZEN, **INSIDE, "gates.prior": "group_norm"},
    "gates, joint": JOINT,
    "gates, joint, steering 0": {**JOINT, "loss_weights.steering": 0.0},
    "gates, joint, steered by features": {**JOINT, "gates.steer_by": "features"},
    "gates, joint, steered by outputs": {**JOINT, "gates.steer_by": "outputs"},
    "gates, joint, shuffled targets": {**JOINT, "gates.targets": "shuffled"},
    "gates, joint, constant targets": {**JOINT, "gates.targets": "constant"},
    "gates, joint, taught by features too": {**JOINT, **BY_FEATURES},
    "gates, joint for two epochs": {**JOINT, _GATE_EPOCHS: 2},
    "gates, joint for three epochs": {**JOINT, _GATE_EPOCHS: 3},
    "gates, joint, gates taught by outputs": {**JOINT, **TAUGHT_GATES},
    "gates, joint for three epochs, all groups, taught throughout": {
        **JOINT,
        **TAUGHT_GATES,
        **BY_FEATURES,
        "channels.scope": "all",
        _GATE_EPOCHS: 3,
    },
    "gates, joint, reconstructed": {**JOINT, "recovery.reconstruct": True},
    "gates, joint, K = 2": {**JOINT, "saliency.num_basis": 2},
    "gates, joint, K = 4": {**JOINT, "saliency.num_basis": 4},
    "gates, joint, K = 8": {**JOINT, "saliency.num_basis": 8, "saliency.max_num_basis": 8},
    "gates, joint, K = 1, stretched": {**JOINT, "saliency.anisotropic": True},
    "gates, joint, all groups": {**JOINT, "channels.scope": "all"},
    "gates, joint, from group L2": {**JOINT, "gates.prior": "group_norm"},
    "gates, joint, from task-inspired": {**JOINT, "gates.prior": "task_inspired"},
    "gates, joint, inside L1 widths by cost": {**JOINT, **INSIDE, "gates.prior": "l1", **BY_COST},
    "gates, joint, inside group L2 widths": {**JOINT, **INSIDE, "gates.prior": "group_norm"},
}
REFERENCE = "L1, uniform"


def make_config(args: argparse.Namespace, row: str, macs: float, seed: int) -> PruningConfig:
    """Return the run of one cell of the table."""
    changes = dict(ROWS[row])
    times = changes.pop(_GATE_EPOCHS, 1)
    is_joint = changes.get("gates.network_weights") == "joint"
    return load_config(
        nested(
            {
                "architecture.name": args.architecture,
                "dataset": cifar_dataset(args),
                "dense_training.epochs": args.dense_epochs,
                "dense_seed": seed,
                "saliency.seed": seed,
                "seed": seed,
                "budgets.macs": macs,
                "channels.round_to": 1,
                "gates.steps": times * args.gate_steps,
                "fine_tuning.epochs": args.epochs - (times * _gate_epochs(args) if is_joint else 0),
                **changes,
            }
        )
    )


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{"a.b": 1}`` into ``{"a": {"b": 1}}``."""
    values: dict[str, Any] = {}
    for name, value in dotted.items():
        *path, last = name.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return values


def render(args: argparse.Namespace, cells: Sequence[Mapping[str, Any]]) -> str:
    """Write one table per budget and the command that made them."""
    epochs = f"{args.epochs} epochs" if args.epochs > 1 else "1 epoch"
    lines = [
        "# What each part buys",
        "",
        f"{args.architecture} on {args.images} images of CIFAR-10, a quarter of them for validation. After the dense",
        f"training, every row updates weights for {epochs}, joint rows {_gate_epochs(args)} of them while gates learn",
        "if they do not say otherwise.",
        "Validation accuracy in percent, mean ± standard deviation over seeds; the difference to "
        f"`{REFERENCE}` is paired by seed (± its standard error).",
        "Explanations: overlap with the dense network's masks after fine-tuning.",
        "",
        f"    python -m benchmarks.ablation {args.command}",
        "",
    ]
    for macs in args.budgets:
        lines += [
            f"## MACs {macs:g}",
            "",
            "| row | seeds | after removal | fine-tuned | difference | params kept | explanations |",
            "|---|---|---|---|---|---|---|",
            *(
                _line(row, found, [cell for cell in cells if cell["macs"] == macs])
                for row in ROWS
                if (found := [cell for cell in cells if cell["macs"] == macs and cell["row"] == row])
            ),
            "",
        ]
    dense = {cell["seed"]: 100 * cell["num_correct_dense"] / cell["num_images"] for cell in cells}
    lines += [
        f"Dense: {', '.join(f'{value:.1f}' for value in dense.values())} (by seed). {filled_on(cells)}",
        "",
    ]
    return "\n".join(lines)


def _line(row: str, found: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]) -> str:
    accuracies = {cell["seed"]: _accuracy(cell) for cell in found}
    reference = {cell["seed"]: _accuracy(cell) for cell in cells if cell["row"] == REFERENCE}
    removal = [100 * cell["num_correct_after_removal"] / cell["num_images"] for cell in found]
    overlaps = [
        cell["explanation_similarity"] for cell in found if cell["explanation_similarity"] is not None
    ]
    return (
        f"| {row} | {len(found)} | {spread(removal)} | **{spread(list(accuracies.values()))}** | "
        f"{paired_difference(accuracies, reference) if row != REFERENCE else ''} | "
        f"{statistics.mean(cell['params_share'] for cell in found):.3f} | "
        f"{f'{statistics.mean(overlaps):.3f}' if overlaps else ''} |"
    )


def _accuracy(cell: Mapping[str, Any]) -> float:
    return float(100 * cell["num_correct_fine_tuned"] / cell["num_images"])


def _gate_epochs(args: argparse.Namespace) -> int:
    num_train: int = args.images - args.images // 4
    num_images: int = args.gate_steps * 128
    return max(1, round(num_images / num_train))


def ablation_parser(description: str | None, rows: Sequence[str] = tuple(ROWS)) -> argparse.ArgumentParser:
    """Return a parser of what ``make_config`` needs, and of which cells to fill: ``rows`` unless told otherwise."""
    parser = cifar_parser(description)
    # with fewer images or epochs every row ends where the dense network is
    parser.set_defaults(images=25_000, dense_epochs=20)
    parser.add_argument("--gate-steps", type=int, default=146, help="default: one epoch")
    parser.add_argument("--epochs", type=int, default=4, help="of updates of the weights, in every row")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.25])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(rows), metavar="ROW")
    parser.add_argument("--workers", type=int, default=1, help="processes that build stages side by side")
    return parser


def options_of(args: argparse.Namespace) -> str:
    """Write the options that decide what the cells hold, as a command line."""
    return (
        f"--data cifar10.npz --architecture {args.architecture} --images {args.images} "
        f"--dense-epochs {args.dense_epochs} --gate-steps {args.gate_steps} --epochs {args.epochs} "
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
    store = ArtifactStore(args.store)
    data = load_data(make_config(args, REFERENCE, 0.5, 0).dataset)

    def identify(place: Place) -> dict[str, Any]:
        return {"trial_key": plan_run(make_config(args, *place), data.fingerprint).trial_key}

    def measure(place: Place) -> dict[str, Any]:
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
