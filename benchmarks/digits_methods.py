"""Pruning methods on the scanned digits that `make search` uses, after as many updates of the weights in every row.

    python -m benchmarks.digits_methods --store results/artifacts --out docs/results

Every row prunes the network of ``examples/digits.yaml`` to the same MACs, as that file says but for what the row names.
Rows that train weights along with the gates fine-tune for the 10 epochs of the file; others for as many epochs more as
the gates take steps. Accuracies are of validation images, differences to the reference paired by seed. Half an hour on
two cores; finished cells are found in digits-methods.json and not run again. Writes digits-methods.json and
digits-methods.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cells import Place, Table, fill_cells, filled_on
from benchmarks.paired_rows import paired_difference, spread
from pruning_core.config import PruningConfig
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, plan_run, run_trial
from search.spec import load_spec

SPEC = Path(__file__).parents[1] / "examples" / "digits.yaml"
JOINT = {"gates.network_weights": "joint"}
FROZEN = {"gates.network_weights": "frozen"}
INSIDE = {"gates.widths": "allocated"}
AT_ONCE = {"gates.budget_warmup": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "random": {"method": "random"},
    "L1, uniform": {"method": "l1"},
    "group L2, global": {"method": "group_norm"},
    "Taylor, global": {"method": "taylor"},
    "task-inspired": {"method": "task_inspired"},
    "gates, frozen weights": FROZEN,
    "gates, frozen weights, inside L1 widths": {**FROZEN, **INSIDE, "gates.prior": "l1"},
    "gates, frozen weights, inside group L2 widths": {**FROZEN, **INSIDE, "gates.prior": "group_norm"},
    "gates, frozen weights, inside task-inspired widths": {
        **FROZEN,
        **INSIDE,
        "gates.prior": "task_inspired",
    },
    "gates, joint": JOINT,
    "gates, joint, steering 0": {**JOINT, "loss_weights.steering": 0.0},
    "gates, joint, shuffled targets": {**JOINT, "gates.targets": "shuffled"},
    "gates, joint, from task-inspired": {**JOINT, "gates.prior": "task_inspired"},
    "gates, joint, from task-inspired, at the budget at once": {
        **JOINT,
        "gates.prior": "task_inspired",
        **AT_ONCE,
    },
    "gates, joint, from group L2": {**JOINT, "gates.prior": "group_norm"},
    "gates, joint, from group L2, at the budget at once": {**JOINT, "gates.prior": "group_norm", **AT_ONCE},
    "gates, joint, at the budget at once": {**JOINT, **AT_ONCE},
    "gates, joint, inside L1 widths": {**JOINT, **INSIDE, "gates.prior": "l1"},
    "gates, joint, inside group L2 widths": {**JOINT, **INSIDE, "gates.prior": "group_norm"},
    "gates, joint, inside task-inspired widths": {**JOINT, **INSIDE, "gates.prior": "task_inspired"},
}
REFERENCE = "L1, uniform"


def make_config(row: str, macs: float, seed: int) -> PruningConfig:
    """Return the run of one cell of the table."""
    changes = {"budgets.macs": macs, "seed": seed, **ROWS[row]}
    if changes.get("gates.network_weights") != "joint":
        base = load_spec(SPEC).run
        images_per_epoch = len(load_data(base.dataset).train)
        gate_epochs = round(base.gates.steps * base.gates.batch_size / images_per_epoch)
        changes["fine_tuning.epochs"] = base.fine_tuning.epochs + gate_epochs
    return load_spec(SPEC, [f"run.{name}={value}" for name, value in changes.items()]).run


def render(args: argparse.Namespace, cells: Sequence[Mapping[str, Any]]) -> str:
    """Write one table per budget and the command that made them."""
    lines = [
        "# Methods on scanned digits",
        "",
        "cifar_resnet8 of half the width, as in `examples/digits.yaml`, all channel groups, pruned to a share of the",
        "MACs; every row updates weights as often. Validation accuracy in percent (503 images), mean ± standard",
        f"deviation over seeds of gates and fine-tuning; the difference to `{REFERENCE}` is paired by seed (± its",
        "standard error). `worst` is the lowest accuracy of a seed.",
        "Explanations: overlap with the dense network's masks after fine-tuning.",
        "",
        f"    python -m benchmarks.digits_methods {args.command}",
        "",
    ]
    for macs in args.budgets:
        found = [cell for cell in cells if cell["macs"] == macs]
        lines += [f"## MACs {macs:g}", ""]
        lines += ["| row | seeds | fine-tuned | worst | difference | params kept | explanations |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_line(row, found) for row in ROWS if any(cell["row"] == row for cell in found)]
        lines += [""]
    dense = {100 * cell["num_correct_dense"] / cell["num_images"] for cell in cells}
    return "\n".join([*lines, f"Dense: {', '.join(f'{one:.1f}' for one in dense)}. {filled_on(cells)}", ""])


def _line(row: str, cells: Sequence[Mapping[str, Any]]) -> str:
    mine = [cell for cell in cells if cell["row"] == row]
    accuracies = {cell["seed"]: _accuracy(cell) for cell in mine}
    reference = {cell["seed"]: _accuracy(cell) for cell in cells if cell["row"] == REFERENCE}
    overlaps = [cell["explanation_similarity"] for cell in mine if cell["explanation_similarity"] is not None]
    return (
        f"| {row} | {len(mine)} | **{spread(list(accuracies.values()))}** | {min(accuracies.values()):.1f} | "
        f"{paired_difference(accuracies, reference) if row != REFERENCE else ''} | "
        f"{spread([cell['params_share'] for cell in mine], digits=3)} | "
        f"{spread(overlaps, digits=3) if overlaps else ''} |"
    )


def _accuracy(cell: Mapping[str, Any]) -> float:
    return float(100 * cell["num_correct_fine_tuned"] / cell["num_images"])


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, help="artifact store")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 0.25, 0.14])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    args = parser.parse_args(argv)
    args.device, args.threads = "cpu", 1
    args.command = f"--budgets {' '.join(map(str, args.budgets))} --seeds {' '.join(map(str, args.seeds))}"
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table cell by cell."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    store = ArtifactStore(args.store)
    data: DataSplits = load_data(make_config(REFERENCE, 0.5, 0).dataset)

    def identify(place: Place) -> dict[str, Any]:
        return {"trial_key": plan_run(make_config(*place), data.fingerprint).trial_key}

    def measure(place: Place) -> dict[str, Any]:
        result = run_trial(make_config(*place), data=data, store=store, device=args.device)
        print(
            f"seed {place.seed}, MACs {place.macs:g}, {place.row}: {100 * result.accuracy:.1f} %", flush=True
        )
        return {
            "num_images": result.num_images,
            "num_correct_dense": result.num_correct_dense,
            "num_correct_fine_tuned": result.num_correct_fine_tuned,
            "explanation_similarity": result.explanation_similarity,
            "params_share": result.params / result.dense_params,
            "kept": dict(result.kept),
        }

    fill_cells(
        args, Table(name="digits-methods", rows=ROWS, identify=identify, measure=measure, render=render)
    )


if __name__ == "__main__":
    main()
