"""``prunefront launch`` and ``resume``: run a search to its end, then show what it found and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import typer
from rich.console import Console

from reports.formats import counted, duration
from reports.fronts import find_front
from reports.page import ReportFiles
from reports.records import StudyRecords, TrialStatus
from reports.summary import reason_counts
from search.commands.front_latency import goes_by_latency, measure_front
from search.commands.plan import make_plan, plan_lines
from search.commands.report import publish_report
from search.commands.resumed_spec import load_resumed_spec
from search.driver import SearchOutcome, run_search
from search.front_text import front_lines
from search.next_steps import command, open_study, storage_option
from search.plug_in_path import add_plug_in_path
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.terminal import INTERRUPTED, NOTHING_FITS, warn
from search.text_tables import pair_lines

__all__ = ["SearchEngine", "launch_study", "outcome_lines", "resume_study"]


class SearchEngine(Protocol):
    """Runs a search to its end: `run_search`, or a stand-in."""

    def __call__(
        self,
        spec: SearchSpec,
        folder: StudyFolder,
        *,
        resume: bool,
        console: Console,
        prepare: Callable[[], object] = ...,
    ) -> SearchOutcome:
        """Run what is left of a search; ``prepare`` is called before anything is written, and may raise.

        Raises:
            KeyboardInterrupt: The search was stopped; it can be resumed.
        """


Publisher: TypeAlias = Callable[[StudyRecords, StudyFolder], ReportFiles]
"""Writes the report of a study: `publish_report`, or one that leaves MLflow alone."""


def launch_study(
    path: Path,
    overrides: Sequence[str],
    engine: SearchEngine = run_search,
    publish: Publisher = publish_report,
) -> None:
    """Start a search and run it to its end.

    Raises:
        PrunefrontError: What a user must mend; nothing was written.
        typer.Exit: With 130 after Ctrl-C, with 1 if no trial gave a network.
    """
    spec = load_spec(path, overrides)
    folder = StudyFolder(Path(spec.storage.path), spec.study)
    folder.check_new()

    def show_plan() -> None:
        found = make_plan(spec)
        found.check_feasible()
        typer.echo("\n".join([*plan_lines(spec, found), ""]))

    with _interruptible(folder):
        add_plug_in_path(spec.plug_ins)
        outcome = engine(spec, folder, resume=False, console=Console(), prepare=show_plan)
        _show(outcome, folder, publish)


def resume_study(
    study: str,
    storage: Path,
    engine: SearchEngine = run_search,
    publish: Publisher = publish_report,
    *,
    overrides: Sequence[str] = (),
) -> None:
    """Run what is left of a search, or, with new limits, more of it.

    Raises:
        PrunefrontError: There is no such study, another process runs it, or it cannot go on with the overrides.
        typer.Exit: With 130 after Ctrl-C, with 1 if no trial gave a network.
    """
    folder = open_study(study, storage)
    spec = load_resumed_spec(folder, overrides)
    with _interruptible(folder):
        add_plug_in_path(spec.plug_ins)
        _show(engine(spec, folder, resume=True, console=Console()), folder, publish)


def outcome_lines(outcome: SearchOutcome, folder: StudyFolder, report: Path) -> list[str]:
    """Write what a search found, where the report is, and what to type next."""
    study = outcome.study
    lines = front_lines(find_front(study))
    counts = [
        f"{count} {label}"
        for count, label in (
            (outcome.num_complete, "complete"),
            (outcome.num_stopped, "stopped early"),
            (outcome.num_failed, "failed"),
            (outcome.num_infeasible, "infeasible"),
        )
        if count
    ]
    took = duration(max(0.0, study.updated_at - study.created_at))
    lines += ["", f"{counted(len(study.records), 'trial')} ({', '.join(counts) or 'none'}) in {took}"]
    if outcome.why_early is not None:
        lines.append(f"ended before limits.trials was reached: {outcome.why_early}")
    lines += [
        f"failed ({one.count}, such as trial {one.examples}): {one.reason}"
        for one in reason_counts(study.records, TrialStatus.FAILED)
    ]
    steps = [
        (command(folder, "pick", "--knee"), "choose a network (or --max-flops 40%, --min-accuracy 92%)"),
        (
            command(folder, "export", "picked"),
            "write it as safetensors and ONNX, score it on the test images",
        ),
        (" ".join(["prunefront", "ui", *storage_option(folder)]), "browse the study in MLflow"),
    ]
    return [*lines, f"report: {report}", "", "Next:", *(f"  {line}" for line in pair_lines(steps))]


@contextmanager
def _interruptible(folder: StudyFolder) -> Iterator[None]:
    """Tell, after Ctrl-C, how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if folder.exists:
            warn(f"interrupted; what is finished is kept. Go on with: {command(folder, 'resume')}")
        else:
            warn("interrupted before the study began; nothing was written")
        raise typer.Exit(INTERRUPTED) from None


def _show(outcome: SearchOutcome, folder: StudyFolder, publish: Publisher) -> None:
    study, measured = outcome.study, list[str]()
    if goes_by_latency(study):
        study, measured = measure_front(study, folder)
    files = publish(study, folder)
    if measured:
        typer.echo("\n".join([*measured, ""]))
    typer.echo("\n".join(outcome_lines(outcome, folder, files.page)))
    if outcome.num_complete == 0:
        raise typer.Exit(NOTHING_FITS)
