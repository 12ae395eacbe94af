"""Does steering steer? Explanation distance after gate training, against no steering and shuffled targets.

    python -m benchmarks.steering --data data/cifar10.npz --store results/artifacts --out docs/results

Per seed: one dense network, one predictor, one selector; then gates at one budget, three times: steered, with
the weight of the steering term at 0, and with targets shuffled among the images. Distances are means over validation
images between the dense network's explanations and those of the network with hard gates, before any fine-tuning.
The selector's agreement on masked images stands beside that of one centred blob of equal mean area.
Writes steering.json and steering.md; finished stages are found in the store and not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.arguments import cifar_dataset, cifar_parser
from benchmarks.machine import describe_machine
from pruning_core.config import PruningConfig, load_config
from pruning_core.data import DataSplits, load_data
from pruning_core.stages import ArtifactStore, plan_run, run_stage

SEEDS = (0, 1, 2)
VARIANTS: dict[str, dict[str, Any]] = {
    "steered": {},
    "weight 0": {"loss_weights": {"steering": 0.0}},
    "shuffled targets": {"gates": {"targets": "shuffled"}},
}


def make_config(args: argparse.Namespace, seed: int, variant: str) -> PruningConfig:
    """Return the run of one cell of the table."""
    changes = VARIANTS[variant]
    return load_config(
        {
            "architecture": {"name": args.architecture},
            "dataset": cifar_dataset(args),
            "dense_training": {"epochs": args.dense_epochs},
            "dense_seed": seed,
            "seed": seed,
            "budgets": {"macs": args.macs},
            "channels": {"scope": args.scope, "round_to": 1},
            "saliency": {
                "num_basis": args.num_basis,
                "seed": seed,
                "predictor": {"epochs": args.predictor_epochs},
                "selector": {"epochs": args.selector_epochs},
            },
            "gates": {"network_weights": "frozen", "steps": args.gate_steps, **changes.get("gates", {})},
            "loss_weights": {"steering": args.steering, **changes.get("loss_weights", {})},
        }
    )


def measure(config: PruningConfig, data: DataSplits, store: ArtifactStore, device: str) -> dict[str, Any]:
    """Run the stages up to the gates and return what they say of explanations."""
    plan = plan_run(config, data.fingerprint)
    for node in plan.nodes:
        if node.name == "fine_tune":
            continue
        outcome = run_stage(node.name, config, data=data, store=store, device=device)
        print(f"  {node.name}: {outcome.seconds:.1f} s{' (found)' if outcome.was_cached else ''}", flush=True)
    selector, steer = store.get(plan.key_of("selector")), store.get(plan.key_of("steer"))
    dense = store.get(plan.key_of("dense"))
    assert selector is not None
    assert steer is not None
    assert dense is not None
    return {
        "accuracy_dense": dense.facts["num_correct"] / dense.facts["num_images"],
        "agreement": selector.facts["agreement"],
        "blob_agreement": selector.facts["blob_agreement"],
        "mean_area": selector.facts["mean_area"],
        "distance": steer.facts["gated"]["explanation_distance"],
        "similarity": steer.facts["gated"]["explanation_similarity"],
        "macs_share": steer.facts["macs"] / steer.facts["dense_macs"],
        "history_end": steer.facts["history"][-1],
        "config": config.model_dump(mode="json", exclude={"dataset": {"root"}}),
    }


def render(args: argparse.Namespace, cells: Sequence[dict[str, Any]]) -> str:
    """Write the table and the command that made it."""
    lines = [
        "# Does steering steer?",
        "",
        "Distance and similarity between the dense network's explanations and those of the gated network (hard gates",
        "after projection to the budget, before fine-tuning), on validation images. Lower distance and higher",
        "similarity are better. Agreement: share of images that keep their class when only the mask is shown.",
        "",
        f"    python -m benchmarks.steering {args.command}",
        "",
        "| seed | gates | distance | similarity | MACs kept | selector agreement | same-area blob | mean mask area |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        lines.append(
            f"| {cell['seed']} | {cell['variant']} | {cell['distance']:.4f} | {cell['similarity']:.3f} | "
            f"{cell['macs_share']:.3f} | {cell['agreement']:.3f} | {cell['blob_agreement']:.3f} | "
            f"{cell['mean_area']:.3f} |"
        )
    for variant in VARIANTS:
        chosen = [cell for cell in cells if cell["variant"] == variant]
        if chosen:
            distance = sum(cell["distance"] for cell in chosen) / len(chosen)
            similarity = sum(cell["similarity"] for cell in chosen) / len(chosen)
            lines.append(f"| mean | **{variant}** | **{distance:.4f}** | **{similarity:.3f}** | | | | |")
    dense = [f"{cell['accuracy_dense']:.4f}" for cell in cells if cell["variant"] == "steered"]
    lines += [
        "",
        f"Dense validation accuracy: {', '.join(dense)}. Machine: {describe_machine(args.device, args.threads)}.",
        "",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table cell by cell."""
    parser = cifar_parser(__doc__)
    parser.add_argument("--predictor-epochs", type=int, default=10)
    parser.add_argument("--selector-epochs", type=int, default=5)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--scope", default="inner")
    parser.add_argument("--num-basis", type=int, default=1)
    parser.add_argument("--gate-steps", type=int, default=300)
    parser.add_argument("--steering", type=float, default=1.0)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    args.command = (
        f"--data cifar10.npz --architecture {args.architecture} --images {args.images} "
        f"--dense-epochs {args.dense_epochs} --predictor-epochs {args.predictor_epochs} "
        f"--selector-epochs {args.selector_epochs} --macs {args.macs} --scope {args.scope} "
        f"--num-basis {args.num_basis} --gate-steps {args.gate_steps} --steering {args.steering}"
    )
    store = ArtifactStore(args.store)
    data = load_data(make_config(args, 0, "steered").dataset)
    cells: list[dict[str, Any]] = []
    for seed in SEEDS:
        for variant in VARIANTS:
            print(f"seed {seed}, {variant}", flush=True)
            found = measure(make_config(args, seed, variant), data, store, args.device)
            cells.append({"seed": seed, "variant": variant, **found})
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / "steering.json").write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
            (args.out / "steering.md").write_text(render(args, cells), encoding="utf-8")


if __name__ == "__main__":
    main()
