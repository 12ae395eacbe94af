"""All checks of a study, in the order in which they can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from search.doctor.file_checks import check_artifacts, check_leftovers, check_picks
from search.doctor.findings import Finding, Patient
from search.doctor.log_checks import check_log, check_trials
from search.doctor.mlflow_checks import check_mlflow

__all__ = ["CHECKS", "Check", "examine"]

Check = Callable[[Patient], Iterator[Finding]]

LOG = "log"
CHECKS: dict[str, Check] = {
    LOG: check_log,
    "trials": check_trials,
    "artifacts": check_artifacts,
    "picks": check_picks,
    "leftovers": check_leftovers,
    "mlflow": check_mlflow,
}
"""By name; none of them writes anything."""


def examine(patient: Patient) -> dict[str, list[Finding]]:
    """Make all checks; return what was found by the name of the check.

    Without a log that can be read there is nothing to hold the rest against: the other checks are left out.
    """
    found = {LOG: list(CHECKS[LOG](patient))}
    if any(finding.mend is None for finding in found[LOG]):
        return found
    return found | {name: list(check(patient)) for name, check in CHECKS.items() if name != LOG}
