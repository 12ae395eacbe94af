"""How commands end: an error is one line on stderr, and the exit code says of which kind it was."""

from __future__ import annotations

import errno
import os
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from pruning_core.errors import PrunefrontError

__all__ = ["BAD_INPUT", "INTERRUPTED", "NOTHING_FITS", "TRACEBACK_VARIABLE", "OneLineErrors", "warn"]

NOTHING_FITS = 1
BAD_INPUT = 2
INTERRUPTED = 130
TRACEBACK_VARIABLE = "PRUNEFRONT_TRACEBACK"
"""Environment variable; when it is set, errors come with their traceback."""


class OneLineErrors(TyperGroup):
    """Commands whose errors are one line: what must hold, what came, what to do.

    Anything else than `ValueError` and `OSError` is our own bug and keeps its traceback.
    """

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command and turn what a user can cause into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            warn("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (PrunefrontError, ValueError) as error:
            _end(error, str(error) or type(error).__name__)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of a pipe has left: click ends quietly
            _end(error, _describe_os_error(error))


def warn(message: str) -> None:
    """Print to stderr, so that stdout stays what the command was asked for."""
    typer.echo(message, err=True)


def _end(error: Exception, message: str) -> NoReturn:
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    warn(f"error: {' '.join(message.split())}")
    raise typer.Exit(BAD_INPUT)


def _describe_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk must have room for the results, but is full; free some and try again"
    return f"{where}{error.strerror or error}"
