from __future__ import annotations

from pathlib import Path

import pytest

from pruning_core.config import PruningConfig
from pruning_core.errors import InvalidSettingsError
from search.sampling.designs import DESIGNS, PUBLISHED, designed_points
from search.spec import load_spec
from spaces import Range, SearchSpace, build_space, vary
from spaces.fields import plain_value
from tests.search_tests.stored_studies import write_spec
from tests.search_tests.synthetic_search import SyntheticSearch, make_folder, make_spec

EXAMPLE = Path(__file__).parents[2] / "examples" / "paper_cifar10_resnet56.yaml"


def space_of(**ranges: Range) -> SearchSpace:
    return build_space({name.replace("__", "."): one for name, one in ranges.items()}, PruningConfig())


WIDE = {
    "budgets__macs": Range(low=0.1, high=0.8, log=True),
    "budgets__params": Range(choices=(0.2, 0.4)),
    "method": Range(choices=("interpretation_steered", "l1", "task_inspired")),
    "saliency__num_basis": Range(choices=(1, 2, 4), when={"method": "interpretation_steered"}),
    "importance__allocation": Range(choices=("uniform", "global"), when={"method": ["l1", "task_inspired"]}),
    "loss_weights__steering": Range(low=0.1, high=100, log=True, when={"method": "interpretation_steered"}),
    "fine_tuning__learning_rate": Range(low=0.001, high=0.05, log=True),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_every_point_of_a_design_is_one_of_the_space(name: str) -> None:
    space = space_of(**WIDE)
    for point in designed_points(space, name):
        space.check_point(point)


def test_what_was_published_is_tried_as_far_as_it_varies_and_lies_in_range() -> None:
    assert designed_points(space_of(**WIDE), "published") == [
        {"method": "interpretation_steered", "saliency.num_basis": 1, "loss_weights.steering": 10.0},
        {"method": "task_inspired"},  # what it allocates by is no choice here
    ]


def test_of_a_search_of_one_method_its_paper_s_settings_are_tried() -> None:
    task_inspired = {
        "importance__task_weight": Range(low=0, high=1),
        "importance__allocation": Range(choices=("uniform", "task_loss")),
    }
    assert designed_points(space_of(**task_inspired), "published") == [
        {"importance.task_weight": 0.5, "importance.allocation": "task_loss"}
    ]
    steered = {"loss_weights__steering": Range(low=0.1, high=100, log=True)}
    assert designed_points(space_of(**steered), "published") == [{"loss_weights.steering": 10.0}]


def test_what_was_published_is_what_the_example_of_the_paper_says() -> None:
    run = load_spec(EXAMPLE).run
    assert {name: plain_value(run, name) for name in PUBLISHED} == dict(PUBLISHED)
    assert vary(PruningConfig(), PUBLISHED).method == "interpretation_steered"


def test_the_baseline_prunes_every_layer_alike() -> None:
    assert designed_points(space_of(**WIDE), "baseline") == [
        {"method": "l1", "importance.allocation": "uniform"}
    ]


def test_corners_are_the_ends_of_all_budgets() -> None:
    found = [
        (point["budgets.macs"], point["budgets.params"])
        for point in designed_points(space_of(**WIDE), "corners")
    ]
    assert [params for _, params in found] == [0.2, 0.4, 0.2, 0.4]
    assert [macs for macs, _ in found] == pytest.approx([0.1, 0.1, 0.8, 0.8])


def test_a_search_begins_with_its_points_and_designs(tmp_path: Path) -> None:
    spec = make_spec(
        search={"budgets.macs": {"low": 0.3, "high": 0.9}, "saliency.num_basis": {"choices": [1, 2, 4]}},
        first=[{"budgets.macs": 0.5, "saliency.num_basis": 4}],
        designs=["published", "corners"],
    )
    search = SyntheticSearch(spec, make_folder(tmp_path, spec))
    search.run()
    tried = {record.number: record.varied for record in search.records}
    assert tried[0] == {"budgets.macs": 0.5, "saliency.num_basis": 4}
    assert tried[1]["saliency.num_basis"] == 1
    assert [tried[2]["budgets.macs"], tried[3]["budgets.macs"]] == pytest.approx([0.3, 0.9])


@pytest.mark.parametrize(
    ("designs", "problem"),
    [
        ("[paper]", "'designs.0': unknown design 'paper'. Known designs: published, baseline, corners."),
        (
            "[baseline]",
            "'designs': baseline must have values for fields that vary, but has none for budgets.macs",
        ),
    ],
)
def test_designs_that_mean_nothing_are_refused(tmp_path: Path, designs: str, problem: str) -> None:
    path = write_spec(
        tmp_path, f"study: tiny\nsearch:\n  budgets.macs: {{low: 0.2, high: 0.8}}\ndesigns: {designs}\n"
    )
    with pytest.raises(InvalidSettingsError) as refused:
        load_spec(path)
    assert problem in str(refused.value)
