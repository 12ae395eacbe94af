"""Run a search over real Ray, with the synthetic backend: ``python -m ... ROOT SPEC`` or ``... ROOT resume``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from search.driver import run_search
from search.spec import load_spec
from search.studies.folder import StudyFolder
from tests.search_tests.synthetic_backend import FACTORY

INTERRUPTED = 130


def main() -> None:
    """Print the outcome as the last line."""
    root, spec_path = Path(sys.argv[1]), sys.argv[2]
    folder = StudyFolder(root, "demo")
    resume = spec_path == "resume"
    spec = load_spec(folder.spec_path if resume else Path(spec_path))
    try:
        outcome = run_search(spec, folder, resume=resume, console=Console(), backend=FACTORY)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    counts = {name: value for name, value in _shallow(outcome).items() if isinstance(value, int)}
    print(json.dumps({**counts, "timing": asdict(outcome.timing)}))


def _shallow(outcome: object) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
