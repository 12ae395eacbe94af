"""``prunefront pick``: choose a network, say why, and remember the choice for ``export``.

What takes long comes after the choice stands: the look at the test images, repeats under other seeds, MLflow.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pruning_core.errors import PrunefrontError, StorageError
from reports.confirmations import Confirmation
from reports.pick_limits import PickLimits, parse_limits
from reports.picks import NoPick, Pick, pick
from reports.records import TestScores, TrialRecord
from search.backend import STAGES_BACKEND, backend_settings, load_backend
from search.next_steps import command, open_study
from search.pick_book import PickEntry, amend_pick, remember_pick
from search.pick_text import (
    confirmation_lines,
    no_pick_lines,
    pick_lines,
    plain_confirmation,
    plain_pick,
    plain_test,
)
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.studies.paused_collection import paused_collection
from search.studies.records import read_mlflow_runs, read_study
from search.terminal import INTERRUPTED, NOTHING_FITS, warn
from search.tracking.writer import quieten_mlflow

__all__ = ["PickRequest", "pick_network", "rule_of"]

_NUM_RUNNERS_UP = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PickRequest:
    """What the user typed.

    ``rule``: a key of `PICK_RULES`; None: what suits the limits. ``top``: how many networks are shown in a table.
    ``test``: whether the test images may be looked at. ``num_repeats``: under other seeds; 0: none.
    """

    max_flops: str | None = None
    max_params: str | None = None
    max_memory: str | None = None
    max_latency: str | None = None
    min_accuracy: str | None = None
    max_drop: str | None = None
    rule: str | None = None
    top: int | None = None
    test: bool = True
    num_repeats: int = 0

    @property
    def limits(self) -> PickLimits:
        """The limits, read.

        Raises:
            ValueError: One of them is no number, or outside its range.
        """
        return parse_limits(
            max_macs=self.max_flops,
            max_params=self.max_params,
            max_activation_memory=self.max_memory,
            max_latency_ms=self.max_latency,
            min_accuracy=self.min_accuracy,
            max_drop=self.max_drop,
        )

    def limits_as_typed(self) -> dict[str, str | None]:
        """Return the limits by the names of their options."""
        names = ("max_flops", "max_params", "max_memory", "max_latency", "min_accuracy", "max_drop")
        return {name: getattr(self, name) for name in names}


def rule_of(**flags: bool) -> str | None:
    """Return the rule whose flag is set, such as ``knee=True``; None if none is.

    Raises:
        ValueError: More than one is.
    """
    chosen = [name for name, is_set in flags.items() if is_set]
    if len(chosen) > 1:
        known = ", ".join(f"--{name}" for name in flags)
        came = " and ".join(f"--{name}" for name in chosen)
        raise ValueError(f"a network is picked by one of {known}, but got {came}; leave out all but one")
    return chosen[0] if chosen else None


def pick_network(
    study: str, storage: Path, request: PickRequest, *, as_json: bool, backend: str = STAGES_BACKEND
) -> None:
    """Choose a network, print it, and write the choice to the study's folder and to MLflow.

    Args:
        study: Its name.
        storage: Results folder.
        request: What was typed.
        as_json: Print JSON, when all is done; text comes as soon as it is known.
        backend: ``module:function`` that makes what runs the repeats.

    Raises:
        PrunefrontError: There is no such study, or its folder cannot be written.
        typer.Exit: With code 1 if no network fits; the choice made before, if any, stays. With 130 after Ctrl-C while
            repeats run; the choice stands.
    """
    limits = request.limits
    folder = open_study(study, storage)
    num_runners_up = _NUM_RUNNERS_UP if request.top is None else request.top - 1
    with paused_collection():
        found = pick(read_study(folder), request.rule, limits, num_runners_up=num_runners_up)
    plain = {"study": study, "limits": request.limits_as_typed(), **plain_pick(found)}
    if isinstance(found, NoPick):
        typer.echo(json.dumps(plain, indent=2) if as_json else "\n".join(no_pick_lines(found)))
        raise typer.Exit(NOTHING_FITS)
    choice = _Choice(request=request, folder=folder, spec=load_spec(folder.spec_path), found=found)
    entry = remember_pick(folder, {**plain, "picked_at": time.time()})
    test = choice.test_scores()
    if test is not None:
        entry["test"] = plain_test(test)
        amend_pick(folder, test=entry["test"])
    if not as_json:
        typer.echo("\n".join(pick_lines(found, test, top=request.top)))
    if request.num_repeats:
        entry["confirmation"] = plain_confirmation(choice.confirm(backend))
        amend_pick(folder, confirmation=entry["confirmation"])
    export = command(folder, "export", "picked")
    if as_json:
        typer.echo(json.dumps({**entry, "export_command": export}, indent=2, allow_nan=False))
    else:
        typer.echo("\n".join(_closing_lines(entry, export)))
    sys.stdout.flush()
    choice.tell_mlflow(test, entry.get("mlflow"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """A network that was chosen, and what is still to be done about it."""

    request: PickRequest
    folder: StudyFolder
    spec: SearchSpec
    found: Pick

    @property
    def record(self) -> TrialRecord:
        """The chosen trial."""
        return self.found.record

    def test_scores(self) -> TestScores | None:
        """Return what is kept, or else look at the test images, if that is allowed and can be done."""
        if self.record.test is not None or not self.request.test:
            return self.record.test
        number = self.record.number
        warn(f"scoring trial {number} and the dense network on the test images, once ...")
        from search.test_scoring import score_trial_on_test

        try:
            return score_trial_on_test(self.record, self.spec, self.folder)
        except PrunefrontError as error:
            warn(f"the pick stands, but trial {number} has no test score: {' '.join(str(error).split())}")
            return None

    def confirm(self, backend: str) -> Confirmation:
        """Run the repeats."""
        from search.confirming import confirm_pick

        settings = backend_settings(self.spec, self.folder, backend)
        try:
            return confirm_pick(self.record, self.request.num_repeats, load_backend(settings), warn)
        except KeyboardInterrupt:
            warn("interrupted; the pick stands, finished repeats are kept, and the same command goes on")
            raise typer.Exit(INTERRUPTED) from None

    def tell_mlflow(self, test: TestScores | None, told: Mapping[str, Any] | None) -> None:
        """Tag the chosen run, unless that was done before; ``told``: what MLflow was told of this pick."""
        run_id = read_mlflow_runs(self.folder).get("runs", {}).get(str(self.record.number))
        new = {"run": run_id, "rule": self.found.rule, "test": test is not None}
        if run_id is None:
            warn(f"the pick stands, but MLflow has no run of trial {self.record.number} to tag yet")
        elif new != told:
            self._tag(test, new)

    def _tag(self, test: TestScores | None, new: Mapping[str, Any]) -> None:
        quieten_mlflow()
        from mlflow.exceptions import MlflowException

        from search.tracking.pick_tag import tag_pick

        record = self.record.model_copy(update={"test": test})
        try:
            tag_pick(record, self.found.rule, self.spec, self.folder)
        except (MlflowException, OSError, StorageError) as error:
            reason = " ".join(str(error).split())
            warn(f"the pick stands, but is not in MLflow ({reason}); the same command tries again")
        else:
            amend_pick(self.folder, mlflow=new)


def _closing_lines(entry: PickEntry, export: str) -> list[str]:
    lines = []
    if entry.get("confirmation") is not None:
        kept = {name: entry["confirmation"][name] for name in Confirmation.model_fields}
        lines = ["", *confirmation_lines(Confirmation.model_validate(kept))]
    looked = "the test images were looked at for it alone" if entry.get("test") else "not on test images"
    return [*lines, "", f"Chosen on validation images; {looked}.", f"Next: {export}"]
