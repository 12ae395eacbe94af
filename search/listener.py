"""What a search tells whoever shows or keeps what happens."""

from __future__ import annotations

from typing import Protocol

from reports.records import RungScores, TrialRecord
from search.outcomes import ItemOutcome
from search.work_items import WorkItem

__all__ = ["SearchListener"]


class SearchListener(Protocol):
    """Told of everything that happens, in the driver's thread."""

    def item_started(self, item: WorkItem) -> None:
        """A worker gets an item."""

    def item_finished(self, item: WorkItem, outcome: ItemOutcome) -> None:
        """A worker is done with an item."""

    def rung_reached(self, number: int, rung: RungScores) -> None:
        """A trial came to a rung; whether it goes on is not decided yet."""

    def trial_finished(self, record: TrialRecord) -> None:
        """A trial has its final record, which the study keeps."""
