"""The networks of a real study in MLflow's registry, and the picked one served to somebody who has nothing of ours."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pytorch
import pytest
import torch
from mlflow.tracking import MlflowClient
from torch import Tensor
from typer.testing import CliRunner

from pruning_core.config import load_config
from pruning_core.data import load_data
from pruning_core.stages import ArtifactStore, load_slim_network
from reports.fronts import find_front
from reports.records import TrialRecord
from reports.roles import network_roles
from search.cli import app
from search.pick_book import read_pick
from search.studies.folder import StudyFolder
from search.studies.records import read_study

pytestmark = [pytest.mark.integration, pytest.mark.slow]

runner = CliRunner()
HOST, PATIENCE_S = "127.0.0.1", 120
NOT_THERE = ("pruning_core", "reports", "search", "spaces", "torch_pruning", "optuna", "ray")


def command(study: StudyFolder, *arguments: str) -> str:
    result = runner.invoke(app, [*arguments, "--storage", str(study.root)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def champion(real_study: StudyFolder) -> TrialRecord:
    """The picked network of the study, whose networks are registered."""
    command(real_study, "pick", real_study.study, "--knee")
    command(real_study, "register", real_study.study)
    number = read_pick(real_study)
    return next(record for record in read_study(real_study).records if record.number == number)


def logits_of(study: StudyFolder, record: TrialRecord, images_NCHW: Tensor) -> Tensor:
    config = load_config(record.config)
    data = load_data(config.dataset)
    network = load_slim_network(config, data=data, store=ArtifactStore(study.artifacts_path))
    with torch.no_grad():
        logits: Tensor = network(data.normalisation.apply(images_NCHW))
    return logits


def validation_images(record: TrialRecord, count: int) -> Tensor:
    return load_data(load_config(record.config).dataset).validation.read(torch.arange(count))


def test_aliases_mean_the_networks_of_their_roles(real_study: StudyFolder, champion: TrialRecord) -> None:
    client = MlflowClient(tracking_uri=real_study.mlflow_uri)
    roles = {**network_roles(find_front(read_study(real_study))), "champion": champion}
    aliases = client.get_registered_model(real_study.study).aliases
    assert aliases.keys() == {"smallest", "balanced", "most-accurate", "champion"}
    for alias, record in roles.items():
        version = client.get_model_version_by_alias(real_study.study, alias)
        assert record.scores is not None
        assert version.tags["trial.key"] == record.trial_key
        assert version.tags["macs"] == str(record.scores.macs)
        assert version.tags["params"] == str(record.scores.params)
        assert float(version.tags["accuracy"]) == pytest.approx(record.scores.accuracy, abs=1e-4)
        assert f"Trial {record.number}: " in (version.description or "")
        run = client.get_run(version.run_id or "")
        assert run.data.tags["trial.key"] == record.trial_key
        assert run.outputs is not None
        (output,) = run.outputs.model_outputs
        assert client.get_logged_model(output.model_id).tags["trial.key"] == record.trial_key


@pytest.mark.usefixtures("champion")
def test_registering_again_makes_no_second_version_and_brings_test_scores_up_to_date(
    real_study: StudyFolder,
) -> None:
    client = MlflowClient(tracking_uri=real_study.mlflow_uri)
    before = client.search_model_versions(f"name = '{real_study.study}'")
    command(real_study, "export", real_study.study, "picked")
    assert "(new)" not in command(real_study, "register", real_study.study)
    after = client.search_model_versions(f"name = '{real_study.study}'")
    assert {one.version for one in after} == {one.version for one in before}
    assert len({one.tags["trial.key"] for one in after}) == len(after)
    tags = client.get_model_version_by_alias(real_study.study, "champion").tags
    assert 0 <= float(tags["test_accuracy"]) <= 1
    assert 0 <= float(tags["test_accuracy_dense"]) <= 1


def test_a_version_has_signature_example_and_requirements_and_takes_any_batch(
    real_study: StudyFolder, champion: TrialRecord
) -> None:
    mlflow.set_tracking_uri(real_study.mlflow_uri)
    address = f"models:/{real_study.study}@champion"
    info = mlflow.models.get_model_info(address)
    assert [spec.shape for spec in info.signature.inputs.inputs] == [(-1, 1, 16, 16)]
    assert [spec.shape for spec in info.signature.outputs.inputs] == [(-1, 10)]
    assert info.metadata == {"class_names": [str(digit) for digit in range(10)]}
    folder = Path(mlflow.artifacts.download_artifacts(address))
    assert {line.split("==")[0] for line in (folder / "requirements.txt").read_text().split()} == {
        "mlflow",
        "torch",
        "numpy",
    }
    example = json.loads((folder / "serving_input_example.json").read_text())
    assert len(example["inputs"]) == 2
    model = mlflow.pytorch.load_model(address)
    for count in (1, 5):
        images_NCHW = validation_images(champion, count)
        expected_NC = logits_of(real_study, champion, images_NCHW)
        torch.testing.assert_close(model(images_NCHW.float() / 255), expected_NC, rtol=1e-4, atol=1e-5)


@pytest.fixture
def served(real_study: StudyFolder, tmp_path: Path) -> Iterator[str]:
    """Where ``mlflow models serve`` answers for the champion, in a process that cannot import anything of ours."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({NOT_THERE!r}))\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    arguments = ["models", "serve", "--env-manager", "local", "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *arguments, "--model-uri", f"models:/{real_study.study}@champion"],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": real_study.mlflow_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # MLflow looks for uvicorn there
        },
        cwd=tmp_path,
        stdout=(tmp_path / "server.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_until_it_answers(server, f"http://{HOST}:{port}/ping", tmp_path / "server.log")
        yield f"http://{HOST}:{port}/invocations"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def wait_until_it_answers(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
        else:
            return


def post(address: str, content: object) -> Any:
    request = urllib.request.Request(
        address, data=json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_champion_answers_real_images_without_anything_of_ours(
    real_study: StudyFolder, champion: TrialRecord, served: str
) -> None:
    images_NCHW = validation_images(champion, 16)
    answer = post(served, {"inputs": (images_NCHW.float() / 255).tolist()})
    expected_NC = logits_of(real_study, champion, images_NCHW)
    torch.testing.assert_close(torch.tensor(answer["predictions"]), expected_NC, rtol=1e-4, atol=1e-5)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(served, {"inputs": [[0.5, 0.5]]})
