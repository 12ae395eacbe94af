"""Where the time of a search goes, and what sharing stages between trials saves.

    prunefront launch examples/digits.yaml storage.path=DIR
    python -m benchmarks.sharing digits --storage DIR --out docs/results

Reads what the search measured: the timeline of its work items and the stage seconds of its trials. ``ideal`` is the
larger of (all work / slots) and the longest chain of items that must follow each other. ``unshared`` is what the same
trials would have cost had each run its own shared stages: the sum of the measured seconds, not a second run.
Writes sharing-STUDY.json and sharing-STUDY.md.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence

from benchmarks.study_arguments import read_study_arguments
from reports.records import TrialRecord, TrialStatus
from search.studies.records import read_study
from search.timeline import read_timeline
from search.timing import Timing, measure_timing


def render(study: str, timing: Timing, records: Sequence[TrialRecord], slots: int) -> str:
    """Return the page as Markdown."""
    last = max(records, key=lambda record: record.number)
    lines = [
        f"# Where the time of study `{study}` went",
        "",
        f"{timing.num_trials} trials on {slots} slots; machine: {platform.machine()}, one thread per trial.",
        "",
        "| figure | value |",
        "|---|---|",
        f"| start-up (imports, Ray, workers), s | {timing.start_up_s:.1f} |",
        f"| wall time from the first item to the last, s | {timing.wall_s:.1f} |",
        f"| all work, s | {timing.work_s:.1f} |",
        f"| longest chain, s | {timing.critical_path_s:.1f} |",
        f"| ideal wall time, s | {timing.ideal_s:.1f} |",
        f"| **wall / ideal** (target: at most 1.15) | **{timing.wall_s / timing.ideal_s:.3f}** |",
        f"| work had nothing been shared, s | {timing.unshared_work_s:.1f} |",
        f"| **work / unshared work** (target: a third) | **{timing.work_s / timing.unshared_work_s:.3f}** |",
        "",
        "Shared stages, each built once:",
        "",
        "| stage | builds | used by trials | seconds |",
        "|---|---|---|---|",
        *(
            f"| {stage.name} `{stage.key[:8]}` | {stage.num_builds} | {stage.num_trials} | {stage.seconds:.1f} |"
            for stage in timing.shared_stages
        ),
        "",
        f"One trial (number {last.number}) by stage:",
        "",
        "| stage | seconds | in this trial |",
        "|---|---|---|",
        *(
            f"| {stage} | {seconds:.1f} | {'found finished' if stage in last.cached_stages else 'run'} |"
            for stage, seconds in last.stage_seconds.items()
        ),
        "",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Read a finished study and write its page."""
    options = read_study_arguments(__doc__, argv)
    folder = options.study
    timing = measure_timing(read_timeline(folder.timeline_path))
    finished = [record for record in read_study(folder).records if record.status is TrialStatus.COMPLETE]
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"sharing-{folder.study}"
    (options.out / f"{name}.json").write_text(
        json.dumps(timing.to_plain(), indent=1) + "\n", encoding="utf-8"
    )
    page = render(folder.study, timing, finished, timing.slots)
    (options.out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
