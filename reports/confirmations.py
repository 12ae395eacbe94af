"""What repeats of a picked network under other seeds say about the pick.

A pick is the best of many noisy results, so its own accuracy promises too much (the winner's curse); repeats were not
selected, and their mean is what to expect.
"""

from __future__ import annotations

import math
from statistics import fmean, stdev

from pydantic import Field

from reports.formats import accuracy_text, counted, points
from reports.scores import NetworkScores, PlainRecord

__all__ = ["Confirmation", "Repeat"]


class Repeat(PlainRecord):
    """The picked configuration under another seed: its validation scores, or why it has none."""

    seed: int
    scores: NetworkScores | None = None
    failure: str | None = None


class Confirmation(PlainRecord):
    """Repeats of a picked network; accuracies are of the same validation images as ``picked``."""

    picked: NetworkScores
    repeats: tuple[Repeat, ...] = Field(min_length=1)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracy of every repeat that has one, in [0, 1]."""
        return tuple(one.scores.accuracy for one in self.repeats if one.scores is not None)

    @property
    def mean(self) -> float | None:
        """Mean accuracy of the repeats, without the pick itself; None if none has one."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the repeats' accuracies (n - 1); None of fewer than two."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def is_lucky(self) -> bool:
        """Whether the pick is better than every repeat."""
        return bool(self.accuracies) and self.picked.accuracy > max(self.accuracies)

    @property
    def verdict(self) -> str:
        """Whether the pick kept what it promised, in a sentence."""
        if self.mean is None:
            return "No repeat gave a network, so the pick stands on one seed."
        number = len(self.accuracies)
        gap = f"{points(abs(self.picked.accuracy - self.mean)).lstrip('+')} points"
        expected = accuracy_text(self.mean, self.picked.num_images)
        if self.is_lucky:
            chance = f"by chance 1 in {number + 1}"
            return (
                f"The pick was lucky: {gap} above the mean of its repeats and above each of them ({chance}); "
                f"expect {expected}."
            )
        if math.isclose(self.picked.accuracy, self.mean, abs_tol=1e-12):
            return f"The pick was not lucky: its repeats are as good on average; expect {expected}."
        side = "above" if self.picked.accuracy > self.mean else "below"
        if self.picked.accuracy < min(self.accuracies):
            return f"The pick was unlucky: {gap} below the mean of its repeats; expect {expected}."
        return (
            f"The pick is {gap} {side} the mean of its {counted(number, 'repeat')} and within their range; "
            f"expect {expected}."
        )
