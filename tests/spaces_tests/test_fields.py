import pytest

from pruning_core.config import PruningConfig, load_config
from pruning_core.errors import InvalidSettingsError
from spaces import field_names, plain_value, to_plain, vary
from spaces.fields import nearest_names


def test_every_field_name_leads_to_a_value() -> None:
    run = load_config({"budgets": {"macs": 0.5, "params": "20K"}})
    plain = {name: plain_value(run, name) for name in field_names()}
    assert plain["budgets.params"] == 20_000
    assert plain["saliency.predictor.epochs"] == run.saliency.predictor.epochs
    assert not any(isinstance(value, dict) for value in plain.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("num_basis", "saliency.num_basis"),
        ("saliency.num_bases", "saliency.num_basis"),
        ("budget.macs", "budgets.macs"),
        ("loss_weights.stearing", "loss_weights.steering"),
    ],
)
def test_a_misspelt_field_is_recognised(name: str, expected: str) -> None:
    assert nearest_names(name, field_names())[0] == expected


def test_nothing_is_near_to_a_word_of_another_kind() -> None:
    assert nearest_names("xyz123", field_names()) == []


def test_varying_changes_the_named_fields_and_nothing_else() -> None:
    run = load_config({"seed": 7, "fine_tuning": {"epochs": 3}})
    varied = vary(run, {"saliency.num_basis": 2, "fine_tuning.distillation.weight": 0.25})
    before, after = to_plain(run), to_plain(varied)
    assert after["saliency"].pop("num_basis") == 2
    assert after["fine_tuning"]["distillation"].pop("weight") == 0.25
    before["saliency"].pop("num_basis")
    before["fine_tuning"]["distillation"].pop("weight")
    assert after == before


def test_varying_a_section_left_at_its_default_keeps_the_rest_of_that_default() -> None:
    run = PruningConfig()
    assert vary(run, {"fine_tuning.epochs": 3}).fine_tuning == run.fine_tuning.model_copy(
        update={"epochs": 3}
    )


def test_varying_nothing_changes_nothing() -> None:
    run = load_config({"budgets": {"params": 0.4}, "method": "l1"})
    assert vary(run, {}) == run


def test_a_default_budget_gives_way_to_the_budget_that_varies() -> None:
    varied = vary(PruningConfig(), {"budgets.params": 0.3})
    assert (varied.budgets.macs, varied.budgets.params is not None) == (None, True)


def test_a_budget_that_was_asked_for_stays_beside_the_one_that_varies() -> None:
    run = load_config({"budgets": {"macs": 0.5}})
    varied = vary(run, {"budgets.params": 0.3})
    assert varied.budgets.macs == run.budgets.macs


def test_a_value_that_the_settings_refuse_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match=r"'budgets.macs': a budget must be a share"):
        vary(PruningConfig(), {"budgets.macs": -1})
