"""What a report says of a study's trials."""

from pathlib import Path

import optuna
from optuna.trial import create_trial

from hms_search.search.contract import contract_of, open_study
from hms_search.search.report import StudyReport, report_of
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
TWO_AIMS = ("aims=[{metric: kl}, {metric: parameters}]", "pruner={name: none}")


def report(*trials: tuple[tuple[float, float], dict[str, object]]) -> StudyReport:
    """The report of completed trials with two values and attributes."""
    config = read_study(QUICKSTART, TWO_AIMS)
    storage = optuna.storages.InMemoryStorage()
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    for values, attributes in trials:
        study.add_trial(create_trial(values=list(values), user_attrs={"outcome": "complete", **attributes}))
    return report_of(study)


def test_a_trial_that_was_answered_from_the_record_is_no_further_member_of_the_front() -> None:
    found = report(((0.5, 10.0), {}), ((0.5, 10.0), {"same_as": 0}), ((0.4, 20.0), {}), ((0.6, 30.0), {}))
    assert [row.number for row in found.front] == [2, 0]
    assert found.metrics()["trials_on_the_front"] == 2
    assert [row.number for row in found.candidates] == [2, 0, 3]
    assert len(found.table()) == len(found.rows) == 4
    assert found.rows[1].same_as == 0


def test_two_trials_that_were_trained_and_are_equal_are_both_on_the_front() -> None:
    found = report(((0.5, 10.0), {}), ((0.5, 10.0), {}))
    assert [row.number for row in found.front] == [0, 1]
