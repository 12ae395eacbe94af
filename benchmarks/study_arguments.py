"""The command line of benchmarks that read a study; needs what a search needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.studies.folder import StudyFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyArguments:
    """``study``: what to read. ``out``: folder to write to; need not exist."""

    study: StudyFolder
    out: Path


def read_study_arguments(description: str | None, arguments: Sequence[str] | None) -> StudyArguments:
    """Read ``STUDY [--storage DIR] [--out DIR]``.

    Args:
        description: Shown by ``--help`` as it is.
        arguments: Of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study")
    parser.add_argument("--storage", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    return StudyArguments(study=StudyFolder(options.storage, options.study), out=options.out)
