from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.errors import StorageError
from search.studies.folder import StudyFolder
from search.studies.journal import StudyJournal, _NoLock, open_journal, read_journal
from search.timeline import Timeline
from tests.search_tests.synthetic_search import make_folder, make_spec

FULL_DISK = Path("/dev/full")  # every write says that there is no space left


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return make_folder(tmp_path, make_spec())


def test_lines_that_are_appended_are_read_back(folder: StudyFolder) -> None:
    journal = open_journal(folder)
    journal.append_logs([{"op_code": 0, "a": "ü"}, {"op_code": 1}])
    journal.append_logs([{"op_code": 2}])
    journal.sync()
    assert list(journal.read_logs(0)) == [{"op_code": 0, "a": "ü"}, {"op_code": 1}, {"op_code": 2}]
    assert len(folder.journal_path.read_bytes().splitlines()) == 3


def test_opening_for_writing_cuts_what_a_crash_left(folder: StudyFolder) -> None:
    open_journal(folder).append_logs([{"op_code": 0}])
    with folder.journal_path.open("ab") as file:
        file.write(b'{"op_c')
    journal = open_journal(folder)
    journal.append_logs([{"op_code": 1}])
    assert list(journal.read_logs(0)) == [{"op_code": 0}, {"op_code": 1}]
    (aside,) = folder.path.glob("study.journal.torn-*")
    assert aside.read_bytes() == b'{"op_c'


def test_no_lock_file_is_left_behind(folder: StudyFolder) -> None:
    open_journal(folder).append_logs([{"op_code": 0}])
    assert sorted(path.name for path in folder.path.iterdir()) == ["spec.yaml", "study.journal"]


def test_a_study_without_journal_reads_as_none(folder: StudyFolder) -> None:
    assert read_journal(folder) is None


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_storage_error() -> None:
    journal = StudyJournal(str(FULL_DISK), _NoLock(str(FULL_DISK)))
    with pytest.raises(StorageError, match="must have room for the results, but is full"):
        journal.append_logs([{"op_code": 0}])


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_storage_error_for_the_timeline_too() -> None:
    with pytest.raises(StorageError, match="must have room for the results, but is full"):
        Timeline(FULL_DISK).end_session(reason="finished")
