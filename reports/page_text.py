"""Fixed words of the page: its sections, the glossary, and the commands to type next."""

from __future__ import annotations

import math
import shlex

from reports.fronts import StudyFront, scores_of
from reports.picks import Pick, pick
from reports.records import TrialStatus

__all__ = ["GLOSSARY", "SECTIONS", "export_command", "next_commands"]

SECTIONS = (
    ("front", "Front"),
    ("networks", "Networks"),
    ("explanations", "Explanations"),
    ("search", "Search"),
    ("run", "What was run"),
    ("settings", "Settings"),
    ("words", "Words"),
    ("next", "Next"),
)

GLOSSARY = (
    (
        "FLOPs (MACs)",
        "Multiply-accumulates of one image through all convolutions and linear layers. One multiply-add counts "
        "once; some tools count it twice and show double the figure.",
    ),
    ("Params", "All trainable numbers of the network."),
    (
        "Share",
        "What the slim network keeps, divided by what the dense one has. 40% of the FLOPs means 60% fewer.",
    ),
    (
        "Validation and test",
        "Everything here is chosen and compared on validation images, held out of the training images. The test "
        "images are looked at once, for the network you choose: its final figure is not flattered by the choice.",
    ),
    (
        "Interval",
        "The 95% Wilson interval of an accuracy: how far it may be off because it was counted on so many images "
        "and not more. It does not cover how much a second training run would differ.",
    ),
    (
        "Accuracies",
        "Dense: the network before pruning. After removal: channels gone, batch norm statistics estimated anew, "
        "nothing trained. Refitted, where a run asks for it: weights that read removed channels fitted by least "
        "squares. Fine-tuned: after further training; this is the accuracy meant where none is named.",
    ),
    (
        "Explanations",
        "Where in an image the network finds its answer, as a saliency mask. The similarity is how much the masks of "
        "the dense and the slim network overlap, 100% being the same.",
    ),
    (
        "Detectors",
        "Channels of the dense network whose response rises for a class and depends on it: each detects at most three "
        "classes. A class that has lost its detectors in a group must be told by other layers; fine-tuning may have "
        "taught channels that are left.",
    ),
    (
        "Front",
        "The networks for which no other one is at least as good in every objective and better in one. Only complete "
        "trials within their budgets count; stopped trials trained for less and are left out.",
    ),
    (
        "Hypervolume",
        "One number for a whole front, from 0 to 1: the share it covers of the space between no accuracy at the "
        "dense network's cost and full accuracy at no cost.",
    ),
    (
        "Channels",
        "Kept of those that may be removed. Channels that depend on each other are removed together.",
    ),
)


def export_command(study: str, number: int) -> str:
    """Return the command that exports one network."""
    return f"prunefront export {shlex.quote(study)} {number}"


def next_commands(front: StudyFront) -> tuple[tuple[str, str], ...]:
    """Return commands that make sense now, each with what it does."""
    study = front.study
    name = shlex.quote(study.study)
    commands: list[tuple[str, str]] = []
    if any(record.status is TrialStatus.RUNNING for record in study.records):
        commands.append((f"prunefront status {name}", "See how far the search is."))
        commands.append(
            (f"prunefront resume {name}", "Go on if it was interrupted; finished trials do not run again.")
        )
    knee = pick(front, "knee")
    if isinstance(knee, Pick):
        scores = scores_of(knee.record)
        share = min(100, 5 * math.ceil(20 * scores.macs_share))
        accuracy = math.floor(100 * scores.accuracy)
        commands.append((f"prunefront pick {name} --knee", "Choose the balanced network, with reasons."))
        commands.append(
            (
                f"prunefront pick {name} --max-flops {share}% --min-accuracy {accuracy}%",
                "Choose by what you can afford and what you need.",
            )
        )
        commands.append(
            (export_command(study.study, knee.record.number), "Export it, verified, ready to deploy.")
        )
    elif not commands:
        commands.append((f"prunefront status {name}", "See what happened to each trial."))
    commands.append((f"prunefront report {name}", "Write this page again."))
    return tuple(commands)
