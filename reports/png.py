"""Small images as addresses that hold them, for a page that loads nothing."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from reports.gallery import Pixels

__all__ = ["image_address", "mask_address"]

_OPAQUE = 0.78  # of a mask where it is 1, so that the image shows through


def image_address(pixels: Pixels) -> str:
    """Return an image as a data URI."""
    shape = (pixels.height, pixels.width, pixels.num_channels)
    values = np.frombuffer(pixels.data, dtype=np.uint8).reshape(shape)
    return _address(Image.fromarray(values[..., 0] if pixels.num_channels == 1 else values))


def mask_address(mask: Pixels, colour: tuple[int, int, int]) -> str:
    """Return a mask as a data URI: one colour, the more opaque the higher the mask."""
    values = np.frombuffer(mask.data, dtype=np.uint8).reshape(mask.height, mask.width)
    image = Image.fromarray(values, mode="P")
    levels = np.arange(256)
    image.putpalette(bytes(np.broadcast_to(np.array(colour, dtype=np.uint8), (256, 3)).tobytes()))
    buffer = io.BytesIO()
    image.save(
        buffer, format="PNG", optimize=True, transparency=bytes(np.round(_OPAQUE * levels).astype(np.uint8))
    )
    return _encode(buffer)


def _address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return _encode(buffer)


def _encode(buffer: io.BytesIO) -> str:
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
