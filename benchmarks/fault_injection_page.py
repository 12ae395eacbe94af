"""The page of `benchmarks.fault_injection`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["FAULTS_PER_SEARCH", "NO_HALVING", "render"]

FAULTS_PER_SEARCH = 4
NO_HALVING = "none"


def render(results: Sequence[Mapping[str, Any]], command: str, machine: str, rule: str = NO_HALVING) -> str:
    """Write the page."""
    faults = [one for result in results for one in result["faults"] if one["in_time"]]
    by_kind = Counter(one["fault"] for one in faults)
    wrong = ("lost", "additional", "different", "running", "run_twice")
    sums = {name: sum(result["found"][name] for result in results) for name in wrong}
    problems = [line for result in results for line in result["found"]["doctor"]]
    return "\n".join(
        [
            "# Searches that were disturbed",
            "",
            f"    python -m benchmarks.fault_injection {command}",
            "",
            *_what_was_run(rule),
            "",
            "| fault | times |",
            "|---|---|",
            *(f"| {kind} | {count} |" for kind, count in by_kind.items()),
            f"| **all** | **{len(faults)}** in {len(results)} searches |",
            "",
            "| in all searches together | |",
            "|---|---|",
            f"| trials lost | {sums['lost']} |",
            f"| trials that should not be there | {sums['additional']} |",
            *_what_differs(results, sums["different"], rule),
            f"| trials left running | {sums['running']} |",
            f"| finished work items that ran again | {sums['run_twice']} |",
            f"| things that `prunefront doctor` found wrong (log, artifacts, MLflow) | {len(problems)} |",
            "",
            *(f"- {line}" for line in problems),
            "Each search, and after how many work items of its trials the faults came:",
            "",
            "| seed | faults |",
            "|---|---|",
            *(f"| {result['faults'][0]['seed']} | {_told(result['faults'])} |" for result in results),
            "",
            f"Machine: {machine}.",
            "",
        ]
    )


def _told(faults: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['fault']} ({one['ended_trials']})" for one in faults if one["in_time"])


def _what_was_run(rule: str) -> list[str]:
    lines = [
        "Real searches on scanned digits, 16 trials, two at once. Each was disturbed up to",
        f"{FAULTS_PER_SEARCH} times at seeded moments, resumed each time, and then held against an undisturbed one.",
    ]
    if rule == NO_HALVING:
        return [*lines, "They are `reproducible: true`."]
    return [
        *lines,
        f"Halving by `{rule}`, rungs after 1 and 2 of 4 epochs; it decides by the order in which trials come to their",
        "rungs, so other trials may go on than undisturbed. Of those of one configuration that went on in both,",
        "scores must be the same.",
    ]


def _what_differs(results: Sequence[Mapping[str, Any]], num_different: int, rule: str) -> list[str]:
    if rule == NO_HALVING:
        fronts = sum(result["found"]["front_is_the_same"] for result in results)
        return [
            f"| trials with another configuration, status or score than undisturbed | {num_different} |",
            f"| searches with the front of the undisturbed one | {fronts} of {len(results)} |",
        ]
    num_compared = sum(result["found"]["compared"] for result in results)
    of_them = f"of {num_compared} that were trained to the end undisturbed, too"
    return [f"| trials with another score, {of_them} | {num_different} |"]
