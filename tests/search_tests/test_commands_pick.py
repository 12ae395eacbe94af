"""``prunefront pick`` on studies that are on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pruning_core.kept_artifacts import artifact_folder, score_key
from reports.records import TestScores, TrialRecord, TrialStatus
from search.cli import app
from search.pick_book import PICKS_FILE, read_pick, read_picks
from search.studies.folder import StudyFolder
from search.studies.records import read_study
from tests.reports_tests.synthetic import make_record, record_with, staircase
from tests.search_tests.stored_studies import store_study

runner = CliRunner()


@pytest.fixture
def stairs(tmp_path: Path) -> StudyFolder:
    """Ten networks on the front: 10 % to 82 % of the MACs and params, 50 % to 86 % accurate."""
    return store_study(tmp_path, staircase(10))


def pick(folder: StudyFolder, *options: str) -> Result:
    return runner.invoke(app, ["pick", folder.study, "--storage", str(folder.root), *options])


def picked(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("options", "trial"),
    [
        (["--max-flops", "40%"], 3),
        (["--max-flops", "0.4"], 3),
        (["--max-drop", "20"], 7),
        (["--max-drop", "20%", "--max-flops", "70%"], 7),
        (["--cheapest"], 0),
        (["--cheapest", "--min-accuracy", "70%"], 5),
        (["--closest", "--min-accuracy", "95%", "--max-flops", "5%"], 5),
        (["--knee", "--max-flops", "40%"], 3),
        (["--max-flops", "340K"], 3),
        (["--max-params", "0.05M"], 5),
        (["--max-flops", "60%", "--max-params", "30%"], 2),
        (["--min-accuracy", "70%"], 5),
        ([], 9),
    ],
)
def test_the_most_accurate_within_the_limits_is_picked_or_the_cheapest_that_is_accurate_enough(
    stairs: StudyFolder, options: list[str], trial: int
) -> None:
    result = pick(stairs, *options, "--json")
    assert result.exit_code == 0, result.output
    assert picked(result)["trial"] == trial


def measured_stairs() -> list[TrialRecord]:
    """The stairs, with memory and latency rising beside the MACs; the last network was measured by no table."""
    records = []
    for index, record in enumerate(staircase(5)):
        assert record.scores is not None
        costs = {
            "activation_memory": 10_000 * (index + 1),
            "dense_activation_memory": 100_000,
            "latency_ms": 0.1 * (index + 1) if index < 4 else None,
            "dense_latency_ms": 1.0 if index < 4 else None,
        }
        records.append(record.model_copy(update={"scores": record.scores.model_copy(update=costs)}))
    return records


@pytest.mark.parametrize(
    ("options", "trial"),
    [
        (["--max-latency", "0.25ms"], 1),
        (["--max-latency", "250us"], 1),
        (["--max-latency", "100%"], 3),
        (["--max-memory", "40%"], 3),
        (["--max-memory", "45KB"], 3),
        (["--max-memory", "50%", "--max-latency", "0.2ms", "--max-flops", "90%"], 1),
    ],
)
def test_memory_and_latency_are_limits_where_they_were_measured(
    tmp_path: Path, options: list[str], trial: int
) -> None:
    folder = store_study(tmp_path, measured_stairs())
    found = picked(pick(folder, *options, "--json"))
    assert found["trial"] == trial
    assert found["activation_memory"] == 10_000 * (trial + 1)


def test_what_easing_a_latency_would_bring_and_what_misses_it_is_said_in_milliseconds(tmp_path: Path) -> None:
    folder = store_study(tmp_path, measured_stairs())
    text = pick(folder, "--max-latency", "0.2ms").stdout
    assert "At most 0.2 ms latency: without it, trial 4 with 82.0% (+24.00 points) at 420K FLOPs" in text
    assert "allowing 0.3 ms latency (30.0%) would bring trial 2, +8.00." in text
    missed = pick(folder, "--max-latency", "50us")
    assert missed.exit_code == 1
    assert "has at most 0.05 ms latency (4 networks to choose from)" in missed.stdout
    assert "Trial 0: 0.05 ms latency too much." in missed.stdout


@pytest.mark.parametrize(
    ("option", "resource"), [("--max-latency", "latency_ms"), ("--max-memory", "activation_memory")]
)
def test_a_limit_on_what_no_network_was_measured_for_is_refused(
    stairs: StudyFolder, option: str, resource: str
) -> None:
    result = pick(stairs, option, "50%")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: a limit on {resource} needs networks whose {resource} was measured, but study 'tiny' has none; "
        f"give its search a budget on {resource}\n"
    )


def test_the_knee_lies_where_the_front_bends(tmp_path: Path) -> None:
    bend = [record_with(0, 0.5, 100_000, 10_000), record_with(1, 0.9, 200_000, 20_000)]
    folder = store_study(tmp_path, [*bend, record_with(2, 0.91, 900_000, 90_000)])
    assert picked(pick(folder, "--knee", "--json"))["trial"] == 1


def test_a_pick_is_remembered_for_export(stairs: StudyFolder) -> None:
    assert pick(stairs, "--max-flops", "40%").exit_code == 0
    assert read_pick(stairs) == 3
    remembered = json.loads((stairs.path / PICKS_FILE).read_text(encoding="utf-8"))
    assert (remembered["rule"], remembered["limits"]["max_flops"]) == ("best_under", "40%")


def test_a_person_reads_why_the_runners_up_the_price_and_the_next_command(stairs: StudyFolder) -> None:
    text = pick(stairs, "--max-flops", "40%").stdout
    assert text.startswith("Trial 3 has the highest validation accuracy")
    assert "62.0% (59.0% - 65.0%) on 1,000 validation images" in text
    assert "340K, 34.0% of the dense network" in text
    assert "Next best:\n  trial 2: " in text
    assert "What the limits cost:\n  At most 40% of the FLOPs (MACs): without it, trial 9 with 86.0%" in text
    assert "Chosen on validation images; not on test images." in text
    assert text.rstrip().endswith(f"prunefront export tiny picked --storage {stairs.root}")


def test_json_is_all_there_is_on_stdout(stairs: StudyFolder) -> None:
    found = picked(pick(stairs, "--max-flops", "40%", "--json"))
    assert found["macs_share"] == pytest.approx(0.34)
    assert [one["trial"] for one in found["runners_up"]] == [2, 1, 0]
    assert found["prices"][0]["limit"] == "max_macs"
    assert found["export_command"].startswith("prunefront export tiny picked")


def test_when_nothing_fits_the_nearest_misses_are_shown_and_the_exit_code_is_1(stairs: StudyFolder) -> None:
    result = pick(stairs, "--max-flops", "5%")
    assert result.exit_code == 1
    assert "has at most 5% of the FLOPs (MACs)" in result.stdout
    assert (
        "Nearest:\n  Trial 0: 50.0K FLOPs (MACs) too many. It has 50.0% (46.9% - 53.1%), 100K"
        in result.stdout
    )
    assert not (stairs.path / PICKS_FILE).exists()


def test_when_nothing_fits_json_says_so_and_an_earlier_pick_stays(stairs: StudyFolder) -> None:
    pick(stairs, "--knee")
    before = read_pick(stairs)
    result = pick(stairs, "--max-flops", "5%", "--json")
    assert (result.exit_code, picked(result)["trial"], len(picked(result)["nearest"])) == (1, None, 3)
    assert read_pick(stairs) == before


def test_trials_that_failed_or_still_run_are_never_picked(tmp_path: Path) -> None:
    statuses = [TrialStatus.FAILED, TrialStatus.INFEASIBLE, TrialStatus.RUNNING]
    folder = store_study(
        tmp_path, [make_record(number, status=status) for number, status in enumerate(statuses)]
    )
    result = pick(folder, "--knee")
    assert result.exit_code == 1
    assert "no complete and feasible trial yet" in result.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--max-flops", "cheap"], "the largest macs must be a share such as 40% or an amount such as 20M"),
        (["--min-accuracy", "92"], "the lowest accuracy must be written as 92% or 0.92"),
        (["--max-params", "-1"], "the largest params must be a share"),
        (["--max-drop", "half"], "the largest drop of accuracy must be in points against the dense network"),
        (
            ["--knee", "--cheapest"],
            "a network is picked by one of --knee, --closest, --cheapest, but got --knee and",
        ),
        (
            ["--closest", "--knee", "--cheapest"],
            "a network is picked by one of --knee, --closest, --cheapest",
        ),
    ],
)
def test_a_limit_that_cannot_be_read_is_refused(
    stairs: StudyFolder, options: list[str], problem: str
) -> None:
    result = pick(stairs, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {problem}")


def test_export_of_picked_before_any_pick_says_what_to_type(stairs: StudyFolder) -> None:
    with pytest.raises(
        ValueError, match=r"must be picked, but none is; choose one first.*prunefront pick tiny --knee"
    ):
        read_pick(stairs)


def test_the_best_by_the_rule_are_shown_as_a_table_with_the_pick_first(stairs: StudyFolder) -> None:
    result = pick(stairs, "--max-flops", "60%", "--top", "5")
    header, *rows = result.stdout.partition("\n\n   trial")[2].partition("\n\n")[0].splitlines()
    assert header.split() == ["accuracy", "FLOPs", "(MACs)", "kept", "params", "kept"]
    assert [row.split()[:2] for row in rows] == [["1", "6"], ["2", "5"], ["3", "4"], ["4", "3"], ["5", "2"]]
    assert "Next best" not in result.stdout
    assert len(picked(pick(stairs, "--top", "5", "--json"))["runners_up"]) == 4
    assert len(picked(pick(stairs, "--top", "100", "--json"))["runners_up"]) == 9


@pytest.mark.parametrize(("option", "value"), [("--top", "0"), ("--top", "many"), ("--confirm", "-1")])
def test_numbers_that_are_none_are_refused(stairs: StudyFolder, option: str, value: str) -> None:
    result = pick(stairs, option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert option in result.stderr


def test_a_pick_of_wishes_says_what_it_misses(stairs: StudyFolder) -> None:
    result = pick(stairs, "--closest", "--min-accuracy", "95%", "--max-flops", "5%")
    assert result.exit_code == 0
    assert "comes nearest to at most 5% of the FLOPs (MACs) and at least 95% accuracy" in result.stdout
    assert "\nIt misses: 450K FLOPs (MACs) too many and 25.00 points of accuracy too low.\n" in result.stdout


def test_picks_are_kept_newest_first_and_a_repeated_choice_counts_once(stairs: StudyFolder) -> None:
    for options in (["--knee"], ["--max-flops", "40%"], ["--max-flops", "40%"], ["--cheapest"]):
        assert pick(stairs, *options).exit_code == 0
    assert [(one["trial"], one["rule"]) for one in read_picks(stairs)] == [
        (0, "cheapest"),
        (3, "best_under"),
        (9, "knee"),
    ]
    assert read_pick(stairs) == 0
    stored = json.loads((stairs.path / PICKS_FILE).read_text(encoding="utf-8"))
    assert (stored["trial"], [one["trial"] for one in stored["earlier"]]) == (0, [3, 9])


def test_a_file_of_a_version_that_kept_the_last_pick_only_is_read_and_goes_on(stairs: StudyFolder) -> None:
    old = {"study": "tiny", "rule": "knee", "limits": {"max_flops": None}, "trial": 4, "why": "Trial 4 ..."}
    (stairs.path / PICKS_FILE).write_text(json.dumps(old))
    assert read_pick(stairs) == 4
    assert pick(stairs, "--cheapest").exit_code == 0
    assert [one["trial"] for one in read_picks(stairs)] == [0, 4]


def test_without_a_run_in_mlflow_the_pick_stands_with_a_warning(stairs: StudyFolder) -> None:
    result = pick(stairs, "--knee")
    assert result.exit_code == 0
    assert "the pick stands, but MLflow has no run of trial 9 to tag yet" in result.stderr


def test_an_mlflow_that_cannot_be_opened_is_a_warning(stairs: StudyFolder) -> None:
    runs = {"parent": "p", "runs": {str(number): f"r{number}" for number in range(10)}}
    stairs.mlflow_runs_path.write_text(json.dumps(runs))  # but there is no database
    result = pick(stairs, "--knee", "--no-test")
    assert result.exit_code == 0
    assert "the pick stands, but is not in MLflow (trial 9 of study 'tiny' must have a run" in result.stderr
    assert read_pick(stairs) == 9
    assert not (stairs.root / "mlflow.db").exists()


def test_a_trial_whose_artifacts_are_gone_is_picked_without_a_test_score(stairs: StudyFolder) -> None:
    result = pick(stairs, "--max-flops", "40%", "--json")
    assert (result.exit_code, picked(result)["test"]) == (0, None)
    assert "scoring trial 3 and the dense network on the test images, once ..." in result.stderr
    assert "the pick stands, but trial 3 has no test score: " in result.stderr
    silent = pick(stairs, "--max-flops", "40%", "--no-test")
    assert "test" not in silent.stderr


def test_kept_test_scores_are_shown_and_not_looked_at_again(tmp_path: Path) -> None:
    record = record_with(0, 0.9, 100_000, 10_000)
    record = record.model_copy(update={"artifact_keys": {"dense": "d" * 24, "fine_tune": "f" * 24}})
    folder = store_study(tmp_path, [record])
    keep_score(folder, "d" * 24, num_correct=190)
    assert read_study(folder).records[0].test is None
    keep_score(folder, "f" * 24, num_correct=180)
    result = pick(folder, "--knee")
    assert "scoring" not in result.stderr
    assert (
        "test          90.0% (85.1% - 93.4%) on 200 test images; dense 95.0% (91.0% - 97.3%)" in result.stdout
    )
    assert "Chosen on validation images; the test images were looked at for it alone." in result.stdout
    assert read_picks(folder)[0]["test"]["accuracy"] == 0.9
    assert read_study(folder).records[0].test == TestScores(
        num_images=200, num_correct=180, num_correct_dense=190
    )


def keep_score(folder: StudyFolder, stage_key: str, *, num_correct: int) -> None:
    place = artifact_folder(folder.artifacts_path, score_key(stage_key))
    place.mkdir(parents=True)
    (place / "facts.json").write_text(
        json.dumps({"num_images": 200, "num_correct": num_correct, "loss": 0.1})
    )


def test_studies_of_one_five_and_no_trials_are_picked_from(tmp_path: Path) -> None:
    for count in (0, 1, 5):
        (tmp_path / str(count)).mkdir()
        folder = store_study(tmp_path / str(count), staircase(count))
        for flag in ("--knee", "--closest", "--cheapest", "--no-test"):
            result = pick(folder, flag)
            assert result.exit_code == (1 if count == 0 else 0), result.output
            assert "nan" not in result.stdout.lower()


@pytest.mark.parametrize("content", ["", "[]", '{"trial": null}', "{"])
def test_a_spoilt_file_of_picks_is_refused(stairs: StudyFolder, content: str) -> None:
    (stairs.path / PICKS_FILE).write_text(content)
    with pytest.raises(ValueError, match=r"picks.json must name a trial, but does not"):
        read_pick(stairs)
