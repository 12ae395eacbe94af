"""``network.json``: everything beside the weights that rebuilds a network and feeds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pruning_core.channels.layout import Layout
from pruning_core.errors import InvalidCheckpointError

DESCRIPTION_FILE = "network.json"
FORMAT_VERSION = 1


class Preprocessing(BaseModel):
    """How pixels become input: ``(pixel / 255 - mean) / std`` per channel, in ``order``.

    ``size``: (height, width) in pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    order: str = "NCHW"
    formula: str = "(pixel / 255 - mean) / std"


class NetworkDescription(BaseModel):
    """An exported network without its weights.

    ``architecture``: settings of the dense architecture. ``layout``: what each layer keeps of it. ``facts``: what
    is known of the network (accuracies, costs, origin), for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    architecture: dict[str, Any]
    in_channels: int
    num_classes: int
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    layout: dict[str, dict[str, int | list[int]]]
    facts: dict[str, Any]


def describe_network(
    *,
    architecture: Mapping[str, Any],
    layout: Layout,
    input_shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    normalisation: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> NetworkDescription:
    """Put the parts of a description together."""
    in_channels, height, width = input_shape
    return NetworkDescription(
        architecture=dict(architecture),
        in_channels=in_channels,
        num_classes=len(class_names),
        class_names=class_names,
        preprocessing=Preprocessing(
            mean=tuple(normalisation["mean"]), std=tuple(normalisation["std"]), size=(height, width)
        ),
        layout={layer: dict(entry) for layer, entry in layout.items()},
        facts=dict(facts),
    )


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
        description = NetworkDescription.model_validate_json(path.read_text(encoding="utf-8"))
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
    if description.format_version != FORMAT_VERSION:
        raise InvalidCheckpointError(
            f"{path} must be of format version {FORMAT_VERSION}, but is of {description.format_version}; export the "
            "network again"
        )
    return description
