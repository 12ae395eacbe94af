"""What an artifact is called, and where it lies below the root of a folder of artifacts. This file loads no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pruning_core.stage_keys import KEY_LENGTH

LAYOUT = "v1"  # folder below the root; another layout of artifacts gets another folder
FACTS_FILE = "facts.json"
TENSORS_FILE = "tensors.safetensors"


def artifact_folder(root: Path, key: str) -> Path:
    """Return the folder that holds the artifact of a key, if there is one."""
    return root / LAYOUT / key_group(key) / key


def key_group(key: str) -> str:
    """Return the group that a key is in: no folder should hold all artifacts, and none of 256 holds many."""
    return key[:2]


def score_key(stage_key: str) -> str:
    """Return the key under which the test score of a stage's network is kept, once it was looked at."""
    return hashlib.sha256(f"test {stage_key}".encode()).hexdigest()[:KEY_LENGTH]
