"""A spec as it was written: read from YAML and the command line, and where in those a problem is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pruning_core.config import describe_problem
from pruning_core.errors import InvalidSettingsError
from pruning_core.user_functions import is_user_function
from pruning_core.yaml_text import YamlMapping, parse_yaml
from search.overrides import apply_overrides
from spaces import Range
from spaces.fields import nearest_names

__all__ = ["WrittenSettings", "describe", "read_settings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenSettings:
    """``plain`` settings, not yet checked, and where they came from."""

    plain: dict[str, Any]
    path: Path
    file: YamlMapping
    overrides: tuple[str, ...]

    def place_of(self, problem: str) -> str:
        """Say where the key was set that a problem starts with: ``spec.yaml:12`` or ``command line``."""
        key = problem[1 : problem.find("'", 1)] if problem.startswith("'") else ""
        for override in self.overrides:
            set_key = override.partition("=")[0].strip()
            if key == set_key or key.startswith(f"{set_key}.") or set_key.startswith(f"{key}."):
                return "command line"
        line = self.file.line_of(key)
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_settings(path: Path, overrides: Sequence[str]) -> WrittenSettings:
    """Read a file of settings and apply overrides to it; paths in the result are absolute.

    Raises:
        InvalidSettingsError: The file cannot be read or is no YAML, or an override is malformed.
    """
    file = parse_yaml(_read(path), source=str(path))
    folder = path.resolve().parent
    plain = _anchor_paths(file.plain, folder)
    plain = _anchor_paths(apply_overrides(plain, overrides), Path.cwd())
    if _names_plug_ins(plain) and plain.get("plug_ins") is None:
        plain = {**plain, "plug_ins": str(folder)}
    return WrittenSettings(plain=plain, path=path, file=file, overrides=tuple(overrides))


def describe(model: type[BaseModel], error: ValidationError) -> str:
    """Say the first problem of a spec in one line that starts with its quoted key, if it has one."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message if message.startswith("'") else f"'{'.'.join(location)}': {message}"
    if first["type"] != "extra_forbidden":
        return describe_problem(model, error)
    known = tuple(_model_at(model, location[:-1]).model_fields)
    nearest = nearest_names(location[-1], known, count=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return f"'{'.'.join(location)}': unknown key.{hint} Known keys there: {', '.join(sorted(known))}."


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidSettingsError(f"{path}: a spec must be UTF-8 text, but this is not") from None
    except OSError as error:
        raise InvalidSettingsError(f"{path}: a spec must be a readable file, but: {error.strerror}") from None


def _anchor_paths(plain: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings with ``~`` expanded and relative paths made absolute from ``folder``."""
    for keys in (
        ("run", "architecture", "checkpoint"),
        ("run", "dataset", "root"),
        ("run", "latency_table"),
        ("plug_ins",),
    ):
        plain = _anchored(plain, keys, folder)
    return plain


def _anchored(plain: dict[str, Any], keys: tuple[str, ...], folder: Path) -> dict[str, Any]:
    key, *deeper = keys
    value = plain.get(key)
    if deeper and isinstance(value, dict):
        return {**plain, key: _anchored(value, tuple(deeper), folder)}
    if not deeper and isinstance(value, str):
        return {**plain, key: str(folder / Path(value).expanduser())}
    return plain


def _names_plug_ins(plain: Mapping[str, Any]) -> bool:
    run = plain.get("run")
    parts = [run.get(section) for section in ("architecture", "dataset")] if isinstance(run, dict) else []
    names = [part.get("name") for part in parts if isinstance(part, dict)]
    return any(isinstance(name, str) and is_user_function(name) for name in names)


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    if location[:1] == ["search"]:
        return Range
    for part in location:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return model
