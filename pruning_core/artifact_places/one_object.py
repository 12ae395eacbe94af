"""An artifact as one object: a safetensors file whose header also holds the facts.

Such a file begins with the length of its header (8 bytes, least significant first) and the header, a JSON object that
says where each tensor lies. Under ``__metadata__`` it may hold texts by name; one of them is the facts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["LENGTH_BYTES", "Header", "header_length", "join_facts", "read_header"]

LENGTH_BYTES = 8
_ALIGNMENT = 8
_METADATA, _FACTS, _OFFSETS = "__metadata__", "facts", "data_offsets"


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What the beginning of an object says. ``num_bytes``: how long the whole object must be."""

    facts: dict[str, Any]
    num_bytes: int


def join_facts(tensors: bytes, facts: str) -> bytes:
    """Return a safetensors file with facts in its header."""
    end = LENGTH_BYTES + header_length(tensors)
    header = json.loads(tensors[LENGTH_BYTES:end])
    header[_METADATA] = {**header.get(_METADATA, {}), _FACTS: facts}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join((len(text).to_bytes(LENGTH_BYTES, "little"), text, memoryview(tensors)[end:]))


def header_length(beginning: bytes) -> int:
    """Return how long the header is that follows the first bytes of an object.

    Raises:
        ValueError: The object is shorter than that.
    """
    if len(beginning) < LENGTH_BYTES:
        raise ValueError(f"it ends after {len(beginning)} bytes")
    return int.from_bytes(beginning[:LENGTH_BYTES], "little")


def read_header(beginning: bytes) -> Header:
    """Read the header of an object of which at least the header is given.

    Raises:
        ValueError: This is no header with facts.
    """
    end = LENGTH_BYTES + header_length(beginning)
    if len(beginning) < end:
        raise ValueError(f"it ends after {len(beginning)} bytes, within its header")
    try:
        header = json.loads(beginning[LENGTH_BYTES:end])
        facts = json.loads(header.pop(_METADATA)[_FACTS])
        num_bytes = end + max((tensor[_OFFSETS][1] for tensor in header.values()), default=0)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its header is not one of an artifact ({error})") from error
    return Header(facts=facts, num_bytes=num_bytes)
