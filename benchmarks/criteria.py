"""What each importance and each allocation keeps without any training: one-shot pruning to the same MACs.

    python -m benchmarks.criteria --data data/cifar10.npz --store results/artifacts --out docs/results

Every row prunes the same dense network (one per seed) with ``round_to: 1``. Statistics of
batch normalisation are estimated anew; no weight is trained. Accuracies are of validation images, differences to the
reference paired by seed. Rows of importances keep the same share of every group, so that only the order within groups
differs; rows of allocations divide the budget between groups by the same score. Finished stages are found in the
store, and finished cells in criteria.json, and not run again. Writes criteria.json and criteria.md.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.arguments import cell_settings, cifar_parser
from benchmarks.cells import Place, Table, fill_cells, filled_on
from benchmarks.dotted_names import nested
from benchmarks.paired_rows import paired_difference, spread
from pruning_core.channels import find_channel_groups, remove_channels
from pruning_core.channels.structures import ChannelSelection
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, load_dense_network, plan_run, run_stage
from pruning_core.training import evaluate, reestimate_batch_norm

UNIFORM = {"importance.allocation": "uniform"}
ITFP = {"method": "task_inspired", **UNIFORM}
ROWS: dict[str, dict[str, Any]] = {
    "random": {"method": "random"},
    "L1": {"method": "l1"},
    "group L2": {"method": "group_norm", **UNIFORM},
    "Taylor": {"method": "taylor", **UNIFORM},
    "TF-IDF": {"method": "tf_idf"},
    "attribution": {"method": "attribution", **UNIFORM},
    "CKA alone": {**ITFP, "importance.task_weight": 1.0},
    "flow alone: leverage": {**ITFP, "importance.task_weight": 0.0},
    "CKA x leverage, not greedy": {**ITFP, "importance.greedy": False},
    "CKA x leverage (task_inspired)": ITFP,
    "CKA x block leverage": {**ITFP, "importance.flow": "block_leverage"},
    "attribution x leverage": {**ITFP, "importance.task_relevance": "attribution"},
    "CKA x leverage, sensitivity": {"method": "task_inspired"},
    "CKA x leverage, task loss": {"method": "task_inspired", "importance.allocation": "task_loss"},
    "group L2, global": {"method": "group_norm"},
    "group L2, task loss": {"method": "group_norm", "importance.allocation": "task_loss"},
}
REFERENCE = "L1"


def make_config(args: argparse.Namespace, row: str, macs: float, seed: int) -> PruningConfig:
    """Return the run of one cell of the table."""
    return load_config(nested({**cell_settings(args, macs, seed), **ROWS[row]}))


def measure(config: PruningConfig, data: DataSplits, store: ArtifactStore, device: str) -> dict[str, Any]:
    """Choose the channels, remove them, and count the correct answers of the network that is left."""
    plan = plan_run(config, data.fingerprint)
    for node in plan.nodes:
        if node.name != "fine_tune":
            run_stage(node.name, config, data=data, store=store, device=device)
    chosen = store.get(plan.key_of("allocate"))
    assert chosen is not None
    dense = load_dense_network(config, data=data, store=store)
    graph = find_channel_groups(dense, data.input_shape, scope=config.channels.scope)
    slim = remove_channels(dense, graph, ChannelSelection.from_plain(chosen.facts["kept"])).to(device)
    reestimate_batch_norm(slim, data, device=device, seed=config.seed)
    score = evaluate(slim, data.validation, data.normalisation, device=device)
    return {
        "num_images": score.num_images,
        "num_correct": score.num_correct,
        "loss": score.loss,
        "macs_share": chosen.facts["macs"] / chosen.facts["dense_macs"],
        "params_share": chosen.facts["params"] / chosen.facts["dense_params"],
    }


def render(args: argparse.Namespace, cells: Sequence[Mapping[str, Any]]) -> str:
    """Write one table per budget and the command that made them."""
    lines = [
        "# What each importance keeps without training",
        "",
        f"{args.architecture} on {args.images} images of CIFAR-10, {args.validation_share:.0%} of them for validation:",
        "one-shot pruning, statistics of batch normalisation estimated anew, nothing trained. Validation accuracy in",
        f"percent, mean ± standard deviation over seeds; the difference to `{REFERENCE}` is paired by seed",
        "(± its standard error).",
        "Rows without an allocation in their name keep the same share of every group.",
        "",
        f"    python -m benchmarks.criteria {args.command}",
        "",
    ]
    for macs in args.budgets:
        found = [cell for cell in cells if cell["macs"] == macs]
        lines += [f"## MACs {macs:g}", "", "| row | seeds | accuracy | difference | loss | params kept |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [_line(row, found) for row in ROWS if any(cell["row"] == row for cell in found)]
        lines += [""]
    return "\n".join([*lines, filled_on(cells), ""])


def _line(row: str, cells: Sequence[Mapping[str, Any]]) -> str:
    mine = {cell["seed"]: cell for cell in cells if cell["row"] == row}
    accuracies = {seed: _accuracy(cell) for seed, cell in mine.items()}
    reference = {cell["seed"]: _accuracy(cell) for cell in cells if cell["row"] == REFERENCE}
    return (
        f"| {row} | {len(mine)} | **{spread(list(accuracies.values()))}** | "
        f"{paired_difference(accuracies, reference) if row != REFERENCE else ''} | "
        f"{statistics.mean(cell['loss'] for cell in mine.values()):.2f} | "
        f"{statistics.mean(cell['params_share'] for cell in mine.values()):.3f} |"
    )


def _accuracy(cell: Mapping[str, Any]) -> float:
    return float(100 * cell["num_correct"] / cell["num_images"])


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = cifar_parser(__doc__)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    args = parser.parse_args(argv)
    args.command = (
        f"--data cifar10.npz --architecture {args.architecture} --images {args.images} "
        f"--dense-epochs {args.dense_epochs} --budgets {' '.join(map(str, args.budgets))} "
        f"--seeds {' '.join(map(str, args.seeds))}"
    )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table cell by cell."""
    args = read_arguments(argv)
    torch.set_num_threads(args.threads)
    store = ArtifactStore(args.store)
    data = load_data(make_config(args, REFERENCE, 0.5, 0).dataset)

    def identify(place: Place) -> dict[str, Any]:
        """Name the selection of channels: no later stage is run."""
        return {"allocate_key": plan_run(make_config(args, *place), data.fingerprint).key_of("allocate")}

    def measure_cell(place: Place) -> dict[str, Any]:
        found = measure(make_config(args, *place), data, store, args.device)
        print(f"seed {place.seed}, MACs {place.macs:g}, {place.row}: {_accuracy(found):.1f} %", flush=True)
        return found

    fill_cells(
        args, Table(name="criteria", rows=ROWS, identify=identify, measure=measure_cell, render=render)
    )


if __name__ == "__main__":
    main()
