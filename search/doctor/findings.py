"""What a check finds, and what it is given to look at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from reports.records import StudyRecords, TrialRecord, TrialStatus
from search.driver_presence import driver_of
from search.spec import SearchSpec, load_spec
from search.studies.folder import StudyFolder
from search.studies.place import database_of
from search.studies.reading import read_snapshot
from search.studies.records import read_study
from search.studies.snapshot import StudySnapshot

__all__ = ["Finding", "Patient", "numbers"]

_MOST_NUMBERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    ``problem``: what. ``remedy``: what mending does, or what the user can do where ``mend`` is None.
    ``is_note``: nothing is wrong, but worth knowing.
    """

    problem: str
    remedy: str
    mend: Callable[[], object] | None = None
    is_note: bool = False


class Patient:
    """A study that is examined; what is read of it is read once.

    Args:
        folder: Of a study that exists.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @cached_property
    def spec(self) -> SearchSpec:
        """As it was launched."""
        return load_spec(self.folder.spec_path)

    @cached_property
    def snapshot(self) -> StudySnapshot:
        """The study's log.

        Raises:
            StorageError: A line of it cannot be read.
        """
        return read_snapshot(self.folder)

    @cached_property
    def records(self) -> StudyRecords:
        """The study as reports see it, with the test scores that are kept."""
        return read_study(self.folder)

    @cached_property
    def database(self) -> str | None:
        """Where the trials are; None: in a journal."""
        return database_of(self.folder)

    @property
    def is_driven(self) -> bool:
        """Whether another process works on the study: what it is writing may look unfinished."""
        driver = driver_of(self.folder)
        return driver is not None and not driver.is_this_process

    @property
    def finished(self) -> list[TrialRecord]:
        """Trials that ended."""
        return [record for record in self.records.records if record.status is not TrialStatus.RUNNING]

    def forget(self) -> None:
        """Read everything anew from now on."""
        for name in ("snapshot", "records"):
            vars(self).pop(name, None)


def numbers(found: Collection[int]) -> str:
    """Write trial numbers, the first few of many: ``trials 3, 7 and 12``."""
    listed = [str(number) for number in sorted(found)]
    if len(listed) == 1:
        return f"trial {listed[0]}"
    if len(listed) > _MOST_NUMBERS:
        return f"{len(listed)} trials ({', '.join(listed[:_MOST_NUMBERS])}, ...)"
    return f"trials {', '.join(listed[:-1])} and {listed[-1]}"
