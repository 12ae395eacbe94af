"""A spec as short as it can be, and how a file of it is read."""

from pathlib import Path

from search.spec import SearchSpec, load_spec

SPEC = """\
study: tiny
run:
  seed: 1
search:
  budgets.macs: {low: 0.3, high: 0.8}
  saliency.num_basis: {choices: [1, 2, 4]}
"""


def load(folder: Path, text: str, *overrides: str) -> SearchSpec:
    """Write a spec to a folder and read it, with what a command line would change."""
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return load_spec(path, overrides)
