"""The examples in the repository are specifications that a user can start."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.effects import check_effects
from search.spec import load_spec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_all_it_varies_has_an_effect(path: Path) -> None:
    spec = load_spec(path, [])
    assert spec.search
    check_effects(spec)
