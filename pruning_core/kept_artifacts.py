"""Where artifacts lie below a store's root, and their facts without their tensors. This file loads no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pruning_core.errors import StorageError
from pruning_core.stage_keys import KEY_LENGTH

LAYOUT = "v1"  # folder below the root; another layout of artifacts gets another folder
FACTS_FILE = "facts.json"


def artifact_folder(root: Path, key: str) -> Path:
    """Return the folder that holds the artifact of a key, if there is one."""
    return root / LAYOUT / key[:2] / key


def read_facts(root: Path, key: str) -> dict[str, Any] | None:
    """Read the facts of an artifact; None if there is none.

    Raises:
        StorageError: The artifact is there but cannot be read.
    """
    path = artifact_folder(root, key) / FACTS_FILE
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(
            f"artifact {path.parent} must hold {FACTS_FILE}, but cannot be read ({error}); delete that folder, and it "
            "is made again"
        ) from error
    return facts


def score_key(stage_key: str) -> str:
    """Return the key under which the test score of a stage's network is kept, once it was looked at."""
    return hashlib.sha256(f"test {stage_key}".encode()).hexdigest()[:KEY_LENGTH]
