from pydantic import JsonValue

from reports.settings import common_settings, flatten, varied_fields
from tests.reports_tests.synthetic import make_config, make_record, make_study


def test_flattening_gives_every_field_its_dotted_name() -> None:
    nested: dict[str, JsonValue] = {
        "seed": 1,
        "gates": {"base": 3.0, "inner": {"deep": None}},
        "taps": [],
        "empty": {},
    }
    assert dict(flatten(nested)) == {
        "seed": 1,
        "gates.base": 3.0,
        "gates.inner.deep": None,
        "taps": [],
        "empty": {},
    }


def test_fields_are_common_exactly_when_no_trial_differs() -> None:
    records = make_study(30).records
    common = {
        f"{section.name}.{name}".removeprefix(".")
        for section in common_settings(records)
        for name, _ in section.fields
    }
    everything = {name for name, _ in flatten(records[0].config)}
    varied = {field.name for field in varied_fields(records)}
    assert common == everything - varied


def test_a_field_changed_in_one_trial_alone_is_not_common() -> None:
    first = make_record(0)
    second = first.model_copy(
        update={"number": 1, "config": make_config({"fine_tuning.epochs": 77, **first.varied})}
    )
    sections = {section.name: dict(section.fields) for section in common_settings([first, second])}
    assert "epochs" not in sections["fine_tuning"]
    assert sections["fine_tuning"]["batch_size"] == "128"
    assert sections["dataset"]["root"] == "not set"


def test_nothing_has_no_settings() -> None:
    assert common_settings([]) == ()
    assert varied_fields([]) == ()


def test_many_numbers_are_described_by_their_range_and_few_values_are_listed() -> None:
    fields = {field.name: field.values for field in varied_fields(make_study(30).records)}
    assert fields["saliency.num_basis"] == "1, 2, 4"
    assert fields["method"] == "interpretation_steered, l1"
    assert fields["budgets.macs"].endswith("values")
    assert " to " in fields["budgets.macs"]


def test_many_names_are_cut_off_with_their_number() -> None:
    records = [
        make_record(i).model_copy(update={"varied": {"architecture.name": f"net{i:02}"}}) for i in range(11)
    ]
    (field,) = varied_fields(records)
    assert field.values.endswith("net07 and 3 more")
