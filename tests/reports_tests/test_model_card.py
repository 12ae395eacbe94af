"""The card of an exported network says what is known, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from reports.model_card import CardData, CardFile, Int8Card, ModelCard, render_model_card
from reports.records import TestScores
from tests.reports_tests.latency_cases import measurement, network
from tests.reports_tests.synthetic import make_record

RECORD = make_record(7)


def card_of(**changes: Any) -> str:
    plain: dict[str, Any] = {
        "record": RECORD,
        "version": "9.9",
        "data": CardData(
            name="cifar10",
            num_train=45_000,
            num_validation=5000,
            num_test=10_000,
            num_classes=10,
            input_shape=(3, 32, 32),
            fingerprint="abc",
        ),
        "test": TestScores(num_images=10_000, num_correct=9000, num_correct_dense=9100),
        "files": [
            CardFile(
                name="network.onnx", form="ONNX", num_bytes=12_345, check="equals it", lines="load_onnx()\n"
            )
        ],
        "input_lines": "images = prepare()\n",
    }
    return render_model_card(ModelCard(**{**plain, **changes}))


def rows_of(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("|")]


def test_the_card_says_what_it_is_how_good_how_large_and_how_to_load_it() -> None:
    card, scores = card_of(), RECORD.scores
    assert scores is not None
    assert card.startswith("# cifar_resnet8, pruned to ")
    assert f"Trial 7 of the study `{RECORD.study}`, exported by prunefront 9.9." in card
    assert "On them it is -1.00 points from the dense network." in card
    rows = rows_of(card)
    assert any(row.startswith("| this network | ") and "| 90.00% (89.40% - 90.57%) |" in row for row in rows)
    assert any(row.startswith("| dense network | ") and "| 91.00% (90.42% - 91.55%) |" in row for row in rows)
    assert any(row.startswith("| FLOPs (MACs of one image) | ") for row in rows)
    assert "| `network.onnx` | ONNX | 12,345 bytes | equals it |" in rows
    assert f"overlap with the dense network's to {100 * (scores.explanation_similarity or 0):.1f}%" in card
    assert "```python\nimages = prepare()\n```" in card
    assert "`network.onnx`:\n\n```python\nload_onnx()\n```" in card
    assert "in colour (RGB)" in card
    assert "was not measured: `prunefront latency cifar10-resnet20 7` does" in card


def test_what_was_not_asked_for_or_measured_is_not_in_it() -> None:
    assert RECORD.scores is not None
    without = RECORD.model_copy(
        update={"scores": RECORD.scores.model_copy(update={"explanation_similarity": None}), "varied": {}}
    )
    card = card_of(record=without)
    assert "makes no explanations" in card
    assert "chosen by the search: nothing" in card
    for absent in ("int8", "None", "Left out", "became part of", "latency by table", "\n\n\n"):
        assert absent not in card


def test_int8_folding_latency_and_a_target_are_told() -> None:
    card = card_of(
        int8=Int8Card(
            calibration_images=512, num_correct_validation=4000, num_correct_test=8000, num_same_test=9500
        ),
        folded=21,
        latency=measurement(network(None, 40_000_000, torch=2.0), network(7, 20_000_000, torch=1.0)),
        target_bytes=1_000_000,
        left_out=[("network.pt2", 1_234_567)],
    )
    assert "| this network in int8 | 80.00% (78.87% - 81.09%) | 80.00% (79.20% - 80.77%) |" in rows_of(card)
    assert "answers as this network does on 95.0% of the test images" in card
    assert "21 batch normalisations became part of the layers before them" in card
    assert "| torch | 1 ms (1.25 ms) | 2 ms (2.5 ms) | 50.0% |" in rows_of(card)
    assert "processor made up, cores 2." in card
    assert "at most 1,000,000 bytes. Left out: `network.pt2` (1,234,567 bytes)." in card
    assert "\n\n\n" not in card


@pytest.mark.parametrize("folded", [0, 3])
def test_every_table_is_one_block_with_as_many_cells_in_each_row(folded: int) -> None:
    for block in card_of(folded=folded).split("\n\n"):
        rows = rows_of(block)
        if rows:
            assert block.strip().splitlines() == rows
            assert len({row.count("|") for row in rows}) == 1
