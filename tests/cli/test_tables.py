"""The tables that the command line prints of large studies."""

import optuna
from optuna.distributions import FloatDistribution
from rich.console import Console

from hms_search.cli.tables import print_report
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
