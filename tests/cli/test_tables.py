"""The tables that the command line prints of studies."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import optuna
import pytest
from optuna.distributions import FloatDistribution
from rich.console import Console

from hms_search.cli.tables import print_report, studies_table
from hms_search.search.lineage import FIRST_KEY, LINEAGE_KEY
from hms_search.search.report import StudyReport, report_of
from hms_search.search.study_attributes import CONFIG_KEY

CONFIG = {
    "objective": "all",
    "folds": {"name": "grouped", "n_folds": 2, "use": None},
    "trials": 90,
    "space": {"base": {"training": {"select": "last"}}, "parameters": {}},
}


def large_study() -> StudyReport:
    study = optuna.create_study(study_name="large")
    study.set_user_attr(CONFIG_KEY, CONFIG)
    for number in range(90):
        study.add_trial(
            optuna.trial.create_trial(
                value=1 - number / 100,
                params={"lr": number / 100},
                distributions={"lr": FloatDistribution(0, 1)},
                user_attrs={"outcome": "complete"},
            )
        )
    return report_of(study)


def printed(top: int) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        print_report(large_study(), console=console, top=top)
    return capture.get()


def test_the_best_trials_are_shown_and_how_to_see_the_others() -> None:
    said = printed(top=20)
    assert "20 of 90 trials, the best first; --top 0 shows all" in said
    assert "│ 89 " in said
    assert "│ 69 " not in said
    assert "│ 0 " in printed(top=0)
    assert "--top 0" not in printed(top=0)


def test_a_later_round_is_shown_beside_the_baseline_of_the_first() -> None:
    storage = optuna.storages.InMemoryStorage()
    for name, value, attributes in (
        ("small", 0.9, {CONFIG_KEY: CONFIG}),
        ("small.round2", 0.5, {CONFIG_KEY: CONFIG, FIRST_KEY: "small", LINEAGE_KEY: []}),
    ):
        study = optuna.create_study(study_name=name, storage=storage)
        for key, content in attributes.items():
            study.set_user_attr(key, content)
        outcome = {"outcome": "complete", "baseline": name == "small"}
        distributions = {"lr": FloatDistribution(0, 1)}
        study.add_trial(
            optuna.trial.create_trial(value=value, params={"lr": 0.1}, distributions=distributions, user_attrs=outcome)
        )
    console = Console(width=120)
    with console.capture() as capture:
        print_report(report_of(study), console=console)
    assert "baseline: trial 0 of small KL 0.9000" in capture.get()
    assert "base (small 0)" in capture.get()
    assert "the baseline itself" not in capture.get()


def test_a_study_is_listed_with_the_time_it_began_in_utc() -> None:
    console, began = Console(width=120), datetime(2026, 11, 23, 8, 30)
    with pytest.MonkeyPatch.context() as patch, console.capture() as capture:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        console.print(studies_table([replace(large_study(), started=began)]))
    time.tzset()
    assert "2026-11-22 23:30" in capture.get()


@pytest.mark.parametrize("name", ["quickstart.round2", "a_study_of_many_networks_on_small_images"])
def test_names_and_values_of_studies_are_whole_on_80_columns(name: str) -> None:
    began = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    report = large_study()
    (baseline,) = [row for row in report.rows if row.number == 3]
    rows = tuple(replace(row, baseline=row is baseline) for row in report.rows)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(studies_table([replace(report, name=name, started=began, rows=rows)]))
    rows_shown = [line.split("│") for line in capture.get().splitlines() if "│" in line]
    cells = [[cell.strip() for cell in column if cell.strip()] for column in zip(*rows_shown, strict=True)]
    assert "".join(cells[0]) == name
    assert len(name) > 20 or cells[0] == [name]
    wanted = ["2026-11-23 08:30", "90/90: 90 complete", "0.1100", "0.9700", "KL, all votes"]
    assert [" ".join(cell) for cell in cells[1:]] == wanted
