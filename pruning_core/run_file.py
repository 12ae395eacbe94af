"""A pruning run as a YAML file: the fields of ``PruningConfig``, as in the ``run`` section of a search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InvalidSettingsError
from pruning_core.user_functions import is_user_function
from pruning_core.yaml_text import parse_yaml

_SECTIONS_OF_A_SEARCH = ("study", "run", "search")


def read_run_file(path: Path) -> PruningConfig:
    """Read a run's settings. Paths in them are relative to the file, whose folder ``module:function`` is imported from.

    Raises:
        InvalidSettingsError: The file cannot be read, is no YAML, or holds no settings of a run; the text starts with
            the file's name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidSettingsError(f"{path}: a run must be UTF-8 text, but this is not") from None
    except OSError as error:
        raise InvalidSettingsError(f"{path}: a run must be a readable file, but: {error.strerror}") from None
    plain = parse_yaml(text, source=str(path), example="seed: 0").plain
    if found := [section for section in _SECTIONS_OF_A_SEARCH if section in plain]:
        raise InvalidSettingsError(
            f"{path}: must hold the settings of one run, but '{found[0]}' is a section of a search; take what lies "
            "below 'run' into a file of its own, or use prunefront launch"
        )
    try:
        config = load_config(_anchored(plain, path.resolve().parent))
    except InvalidSettingsError as error:
        raise InvalidSettingsError(f"{path}: {error}") from None
    if is_user_function(config.architecture.name) or is_user_function(config.dataset.name):
        sys.path.insert(0, str(path.resolve().parent))
    return config


def _anchored(plain: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings with ``~`` expanded and relative paths made absolute."""
    anchored = dict(plain)
    for section, key in (("architecture", "checkpoint"), ("dataset", "root")):
        inner = plain.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(key), str):
            anchored[section] = {**inner, key: str(folder / Path(inner[key]).expanduser())}
    if isinstance(plain.get("latency_table"), str):
        anchored["latency_table"] = str(folder / Path(plain["latency_table"]).expanduser())
    return anchored
