"""``preprocessing.json``: how pixels become input, and what the outputs mean, for whatever runs the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pruning_core.export.exported_file import INPUT_NAME, OUTPUT_NAME

PREPROCESSING_FILE = "preprocessing.json"


class Preprocessing(BaseModel):
    """What a network takes and gives.

    ``input``, ``output``: their names in the files. ``size``: (height, width) in pixels. ``resize``: how images of
    another size come to it. ``pixel_range``: smallest and largest value of a pixel before ``formula``, which works per
    channel. ``class_names``: in the order of the logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = INPUT_NAME
    output: str = OUTPUT_NAME
    layout: str = "NCHW"
    dtype: str = "float32"
    channels: Literal["grey", "RGB"]
    size: tuple[int, int]
    resize: str = "bilinear, without keeping the aspect ratio"
    pixel_range: tuple[int, int] = (0, 255)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    formula: str = "(pixel / 255 - mean) / std"
    class_names: tuple[str, ...]


def describe_preprocessing(
    input_shape: tuple[int, int, int], normalisation: Mapping[str, Any], class_names: Sequence[str]
) -> Preprocessing:
    """Put it together from (channels, height, width) of one image, ``mean`` and ``std`` per channel, and names."""
    in_channels, height, width = input_shape
    return Preprocessing(
        channels="RGB" if in_channels == 3 else "grey",
        size=(height, width),
        mean=tuple(normalisation["mean"]),
        std=tuple(normalisation["std"]),
        class_names=tuple(class_names),
    )


def write_preprocessing(preprocessing: Preprocessing, folder: Path) -> None:
    """Write ``preprocessing.json``."""
    text = json.dumps(preprocessing.model_dump(mode="json"), indent=1, allow_nan=False)
    (folder / PREPROCESSING_FILE).write_text(text + "\n", encoding="utf-8")
