"""Where a data set lies."""

from __future__ import annotations

from pathlib import Path

from pruning_core.config import DatasetConfig
from pruning_core.errors import InvalidDataError, InvalidSettingsError


def required_root(config: DatasetConfig, meaning: str) -> Path:
    """Return ``root`` with ``~`` expanded; ``meaning`` says what it should be.

    Raises:
        InvalidSettingsError: It is not set.
    """
    if config.root is None:
        raise InvalidSettingsError(f"dataset.root must be set for {config.name} ({meaning}), but it is empty")
    return Path(config.root).expanduser()


def existing_root(config: DatasetConfig, meaning: str) -> Path:
    """Return ``root`` like ``required_root``, if there is something.

    Raises:
        InvalidDataError: There is nothing.
        InvalidSettingsError: It is not set.
    """
    root = required_root(config, meaning)
    if not root.exists():
        raise InvalidDataError(f"dataset.root must be {meaning}, but {str(root)!r} does not exist")
    return root
