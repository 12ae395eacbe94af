from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pruning_core.errors import StorageError
from search.studies.folder import LAYOUT_VERSION, StudyFolder
from search.studies.lock import hold_study


def test_a_new_study_lies_below_its_root(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "results", "demo")
    assert not folder.exists
    folder.create("study: demo\n")
    assert folder.exists
    assert folder.spec_path.read_text() == "study: demo\n"
    assert folder.known_studies() == ("demo",)
    assert sorted(path.name for path in folder.root.iterdir()) == ["demo", "prunefront.json"]


def test_paths_are_absolute_wherever_the_root_was_named_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder(Path("results"), "demo")
    assert folder.artifacts_path == tmp_path / "results" / "artifacts"
    assert folder.mlflow_uri == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert folder.mlflow_files_uri == f"file://{tmp_path}/results/mlruns/demo"


def test_studies_of_one_root_share_their_artifacts(tmp_path: Path) -> None:
    assert StudyFolder(tmp_path, "a").artifacts_path == StudyFolder(tmp_path, "b").artifacts_path


def test_a_name_that_exists_is_refused_with_the_way_on(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    with pytest.raises(
        StorageError, match="`prunefront resume demo`, or choose another name with study=NAME"
    ):
        folder.check_new()
    with pytest.raises(StorageError, match="'demo' exists"):
        folder.create("x: 2")
    assert folder.spec_path.read_text() == "x: 1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "prunefront.json"]


def test_something_else_under_the_name_is_left_alone(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.path.mkdir()
    (folder.path / "thesis.doc").touch()
    with pytest.raises(StorageError, match="is there and holds no study; move it away"):
        folder.create("x: 1")
    assert [path.name for path in folder.path.iterdir()] == ["thesis.doc"]


def test_a_study_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    StudyFolder(tmp_path, "b").create("x: 1")
    StudyFolder(tmp_path, "a").create("x: 1")
    with pytest.raises(StorageError, match=r"has no 'demo'. Studies there: a, b."):
        StudyFolder(tmp_path, "demo").check_existing()
    with pytest.raises(StorageError, match=r"Studies there: none."):
        StudyFolder(tmp_path / "nowhere", "demo").check_existing()


@pytest.mark.parametrize("content", [json.dumps({"layout": LAYOUT_VERSION + 1}), "{", "[]", "{}"])
def test_results_of_another_version_are_refused(tmp_path: Path, content: str) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    (tmp_path / "prunefront.json").write_text(content)
    for check in (folder.check_existing, StudyFolder(tmp_path, "new").check_new):
        with pytest.raises(StorageError, match=f"must have layout version {LAYOUT_VERSION}, but it has"):
            check()


def test_results_without_a_version_are_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    (tmp_path / "prunefront.json").unlink()
    with pytest.raises(StorageError, match=r"must have the file .*prunefront.json, but it has not"):
        folder.check_existing()


def test_a_root_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="must be writable"):
        StudyFolder(tmp_path / "file" / "results", "demo").create("x: 1")


def test_a_second_driver_is_refused_with_the_holder_s_name(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    held = f"must have one driver, but 'demo' is held by process {os.getpid()} of .* on .* since 20"
    with hold_study(folder), pytest.raises(StorageError, match=held), hold_study(folder):
        pytest.fail("two drivers hold the study")


def test_the_lock_is_free_once_its_holder_is_done(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    for _ in range(2):
        with hold_study(folder):
            assert json.loads(folder.lock_path.read_text())["pid"] == os.getpid()


def test_the_lock_dies_with_a_killed_process(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "demo")
    folder.create("x: 1")
    program = (
        "import os, signal, sys; from pathlib import Path; from search.studies.folder import StudyFolder; "
        "from search.studies.lock import hold_study\n"
        "with hold_study(StudyFolder(Path(sys.argv[1]), 'demo')): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -9
    with hold_study(folder):
        assert json.loads(folder.lock_path.read_text())["pid"] == os.getpid()
