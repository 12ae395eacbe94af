"""The front of a finished study as Markdown, for docs/results.

    prunefront launch examples/cifar10_resnet20.yaml storage.path=DIR
    python -m benchmarks.front cifar10-resnet20 --storage DIR --out docs/results

Writes front-STUDY.md with the front's table and the whole specification, and front-STUDY.csv with every trial.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import torch

from benchmarks.study_arguments import read_study_arguments
from reports.front_rows import front_rows
from reports.records import StudyRecords, TrialStatus
from reports.tables import trials_table
from search.studies.records import read_study


def render(study: StudyRecords, spec_text: str) -> str:
    """Return the page as Markdown."""
    rows = front_rows(study)
    ended = [record for record in study.records if record.status is TrialStatus.COMPLETE]
    lines = [
        f"# Front of study `{study.study}`",
        "",
        f"{len(ended)} finished trials of {len(study.records)}. Accuracy on {rows[0].num_images} validation images",
        f"with 95 % intervals; the dense network has {rows[0].accuracy_dense:.1%}. FLOPs are MACs of one image.",
        "",
        "    prunefront launch SPEC.yaml      # the specification below",
        f"    python -m benchmarks.front {study.study}",
        "",
        "| trial | accuracy | 95 % interval | after removal | MACs | kept | params | kept | same explanations |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.number} | {row.accuracy:.1%} | {row.interval.low:.1%} - {row.interval.high:.1%} | "
            f"{row.accuracy_after_removal:.1%} | {row.macs / 1e6:.2f}M | {row.macs_share:.1%} | "
            f"{row.params / 1e3:.1f}K | {row.params_share:.1%} | {_similarity(row.explanation_similarity)} |"
            for row in rows
        ),
        "",
        f"Machine: {platform.machine()}, {os.cpu_count()} cores, one thread per trial; torch {torch.__version__}; "
        f"{(study.updated_at - study.created_at) / 60:.0f} minutes, not alone on the machine.",
        "",
        "The specification, with every default (the seeds are in it):",
        "",
        "```yaml",
        spec_text.strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _similarity(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Read a study and write its page and table."""
    options = read_study_arguments(__doc__, argv)
    folder = options.study
    study = read_study(folder)
    spec_lines = folder.spec_path.read_text(encoding="utf-8").splitlines()
    shown = "\n".join(
        line for line in spec_lines if not line.strip().startswith(("root:", "path:", "plug_ins:"))
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"front-{folder.study}.md").write_text(render(study, shown), encoding="utf-8")
    trials_table(study).to_csv(options.out / f"front-{folder.study}.csv", index=False)


if __name__ == "__main__":
    main()
