"""``prunefront doctor`` on a real study: a network that is gone is made again, the same one."""

from __future__ import annotations

import shutil

import pytest
import torch
from typer.testing import CliRunner

from pruning_core.kept_artifacts import artifact_folder
from pruning_core.stages import ArtifactStore
from reports.records import TrialStatus
from search.cli import app
from search.studies.folder import StudyFolder
from search.studies.records import read_study

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_network_that_is_gone_is_made_again(real_study: StudyFolder) -> None:
    arguments = ["doctor", real_study.study, "--storage", str(real_study.root)]
    record = next(one for one in read_study(real_study).records if one.status is TrialStatus.COMPLETE)
    key, store = record.artifact_keys["fine_tune"], ArtifactStore(real_study.artifacts_path)
    before = store.get(key)
    assert before is not None
    shutil.rmtree(artifact_folder(real_study.artifacts_path, key))
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1, found.output
    assert f"trial {record.number}: stages are not in the store any more" in found.stdout
    mended = CliRunner().invoke(app, [*arguments, "--mend"])
    assert mended.exit_code == 0, mended.output
    after = store.get(key)
    assert after is not None
    for name, tensor in before.tensors.items():
        torch.testing.assert_close(after.tensors[name], tensor)
