"""``network.json``: everything beside the weights that rebuilds a network, and what is known of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pruning_core.errors import InvalidCheckpointError

DESCRIPTION_FILE = "network.json"
FORMAT_VERSION = 2


class NetworkDescription(BaseModel):
    """An exported network without its weights.

    ``architecture``: settings of the dense architecture. ``layout``: what each layer keeps of it. ``folded``: the
    layer that each folded batch normalisation became a part of. ``facts``: what is known of the network (accuracies,
    costs, origin), for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    architecture: dict[str, Any]
    in_channels: int
    num_classes: int
    layout: dict[str, dict[str, int | list[int]]]
    folded: dict[str, str]
    facts: dict[str, Any]


def write_description(description: NetworkDescription, folder: Path) -> None:
    """Write ``network.json``."""
    text = json.dumps(description.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")


def read_description(folder: Path) -> NetworkDescription:
    """Read ``network.json``.

    Raises:
        InvalidCheckpointError: There is none, or it is not one of this version.
    """
    path = folder / DESCRIPTION_FILE
    try:
        text = path.read_text(encoding="utf-8")
        _check_version(path, text)
        description = NetworkDescription.model_validate_json(text)
    except OSError as error:
        raise InvalidCheckpointError(
            f"an exported network must have {DESCRIPTION_FILE}, but {path} cannot be read ({error.strerror}); "
            "name the folder that export wrote"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidCheckpointError(
            f"{path} must describe a network, but {'.'.join(map(str, first['loc'])) or 'it'} is wrong: {first['msg']}"
        ) from None
    return description


def _check_version(path: Path, text: str) -> None:
    """Say that another version is one, before its fields are found wrong."""
    try:
        version = json.loads(text)["format_version"]
    except (ValueError, KeyError, TypeError):
        return  # what is no description is told apart by its fields
    if version != FORMAT_VERSION:
        raise InvalidCheckpointError(
            f"{path} must be of format version {FORMAT_VERSION}, but is of {version}; export the network again"
        )
