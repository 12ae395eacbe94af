"""The cluster files of ``docs/cluster.md``, as far as they can be tried without a cloud."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
VIRTUAL_MACHINES, KUBERNETES = (
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
)


def test_ray_accepts_the_file_for_virtual_machines() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config  # here: Ray takes seconds

    validate_config(prepare_config(VIRTUAL_MACHINES))


def test_containers_see_the_shared_folder_that_their_machines_mount() -> None:
    assert any("/shared" in command for command in VIRTUAL_MACHINES["initialization_commands"])
    assert "-v /shared:/shared" in VIRTUAL_MACHINES["docker"]["run_options"]
    cluster: dict[str, Any] = KUBERNETES["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        claimed = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
        for container in pod["containers"]:
            assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= claimed


def test_the_files_name_the_version_of_ray_that_is_installed() -> None:
    assert KUBERNETES["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    assert f"FROM rayproject/ray:{version('ray')}-" in DOCUMENT
