"""YAML text as plain data that remembers its lines; a key given twice is refused, not overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pruning_core.errors import InvalidSettingsError

__all__ = ["YamlMapping", "parse_value", "parse_yaml"]


@dataclass(frozen=True, kw_only=True, slots=True)
class YamlMapping:
    """``plain`` data, and the line (from 1) of each dotted key in it."""

    plain: dict[str, Any]
    lines: Mapping[str, int]

    def line_of(self, key: str) -> int | None:
        """Return the line of a dotted key, or of the nearest section around it that was written."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None


def parse_yaml(text: str, *, source: str, example: str = "study: my-search") -> YamlMapping:
    """Read one mapping with text keys.

    Raises:
        InvalidSettingsError: No YAML, another type, or a key given twice. The text starts with ``source``.
    """
    value, lines = _construct(text, source)
    if not isinstance(value, dict):
        came = "an empty file" if value is None else type(value).__name__
        raise InvalidSettingsError(f"{source}: must be a YAML mapping such as {example!r}, but got {came}")
    return YamlMapping(plain=value, lines=lines)


def parse_value(text: str, *, source: str) -> object:
    """Read one value: ``3``, ``true``, ``null``, ``[1, 2]``, ``{low: 0.3, high: 0.6}``.

    Raises:
        InvalidSettingsError: No YAML, or a key given twice.
    """
    return _construct(text, source)[0]


def _construct(text: str, source: str) -> tuple[object, dict[str, int]]:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines = dict(_walk(node, "", source, set()))  # first: constructing rewrites the nodes of merged keys
        return loader.construct_document(node), lines
    except InvalidSettingsError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None and "\n" in text else ""
        raise InvalidSettingsError(f"{source}{line}: must be YAML, but: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidSettingsError(f"{source}: must be YAML, but: {' '.join(str(error).split())}") from None


def _walk(node: yaml.Node, prefix: str, source: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the dotted keys with their lines, refusing keys that are no text or come twice."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield f"{prefix}{index}", item.start_mark.line + 1
            yield from _walk(item, f"{prefix}{index}.", source, seen)
    elif isinstance(node, yaml.MappingNode):
        own: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                raise InvalidSettingsError(
                    f"{source}:{line}: keys must be text, but got {key_node.value!r}; put it in quotes"
                )
            key = f"{prefix}{key_node.value}"
            if key in own:
                raise InvalidSettingsError(
                    f"{source}:{line}: '{key}' must be given once, but is on line {own[key]} already"
                )
            own[key] = line
            yield key, line
            yield from _walk(value_node, f"{key}.", source, seen)
