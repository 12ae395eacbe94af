"""Networks and data of a user's own, named ``module:function`` in the settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pruning_core.errors import InvalidSettingsError


def is_user_function(name: str) -> bool:
    """Tell whether a name is written ``module:function`` (``torchvision:NAME`` and ``timm:NAME`` are not)."""
    return ":" in name and not name.startswith(("torchvision:", "timm:"))


def load_user_function(name: str) -> Callable[..., Any]:
    """Import ``module:function``; the working directory is searched after the installed packages.

    Raises:
        InvalidSettingsError: There is no such module, it needs a module that is missing, or it has no such
            function.
    """
    module_name, _, function_name = name.partition(":")
    working_directory = str(Path.cwd())
    if working_directory not in sys.path:
        sys.path.append(working_directory)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidSettingsError(
            f"{name!r} must name a module that is installed or lies in {working_directory}, "
            f"but module {error.name!r} cannot be found"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InvalidSettingsError(
            f"{name!r} must name a function of module {module_name!r}, but it has no function {function_name!r}"
        )
    return function  # type: ignore[no-any-return]  # a user's function: its results are checked by the caller
