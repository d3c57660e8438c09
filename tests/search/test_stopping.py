from datetime import datetime
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.search.history import StudyHistory
from hms_search.search.outcomes import PAUSED_AT_KEY, PAUSED_KEY
from hms_search.search.stopping import reason_to_stop
from hms_search.search.study import StudyConfig, read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"


def config(*settings: str) -> StudyConfig:
    return read_study(QUICKSTART, settings)


def trial(loss: float, *, wobble: float = 0.0, seconds: float = 1800.0, steps: int = 8) -> FrozenTrial:
    """Return a completed trial of two folds that differ by chance from what its loss says."""
    space = config().space
    params = space.baseline()
    return create_trial(
        state=TrialState.COMPLETE,
        value=loss,
        params=params,
        distributions={path: space.parameters[path].distribution for path in params},
        intermediate_values=dict.fromkeys(range(steps), loss),
        user_attrs={"folds": [loss + wobble, loss - wobble], "seconds": seconds, "outcome": "complete"},
    )


def paused(seconds: float) -> FrozenTrial:
    params = config().space.baseline()
    distributions = {path: config().space.parameters[path].distribution for path in params}
    return create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions=distributions,
        intermediate_values={0: 1.0, 1: 1.0},
        user_attrs={PAUSED_KEY: seconds},
    )


def reason(study: StudyConfig, *trials: FrozenTrial) -> str:
    for number, one in enumerate(trials):
        one.number = number
    return reason_to_stop(study, StudyHistory(study, trials))


def test_a_study_without_other_budgets_stops_at_its_trials_alone() -> None:
    assert reason(config(), *[trial(1.0) for _ in range(50)]) == ""


def test_epochs_of_paused_and_ended_trials_count_towards_the_budget() -> None:
    study = config("max_epochs=10")
    assert reason(study, trial(1.0, steps=7), paused(1.0)) == ""
    assert reason(study, trial(1.0, steps=8), paused(1.0)) == "10 epochs were trained, the budget is 10 (max_epochs)"


def test_hours_of_paused_and_ended_trials_count_towards_the_budget() -> None:
    study = config("max_hours=1")
    assert reason(study, trial(1.0), paused(1700.0)) == ""
    assert "1.00 hours, the budget is 1 (max_hours)" in reason(study, trial(1.0), paused(1800.0))


@pytest.mark.parametrize(("latest", "stops"), [(0.99, True), (0.5, False)])
def test_patience_ends_where_the_last_trials_gain_less_than_the_noise(latest: float, stops: bool) -> None:
    study = config("patience={trials: 5}")
    before = [trial(1.0 + 0.1 * number, wobble=0.1 * (-1) ** number) for number in range(10)]
    recent = [trial(latest + 0.2 * number, wobble=0.1 * (-1) ** number) for number in range(5)]
    assert ("within the noise" in reason(study, *before, *recent)) == stops


def test_patience_waits_until_the_noise_is_known() -> None:
    assert reason(config("patience={trials: 5}"), *[trial(1.0) for _ in range(3)]) == ""


@pytest.mark.parametrize(("latest", "stops"), [(1.0, True), (0.999, False)])
def test_patience_takes_any_gain_on_one_fold_which_tells_no_noise(latest: float, stops: bool) -> None:
    study = config("patience={trials: 5}", "folds={name: grouped, n_folds: 5, use: [0]}")
    trials = [trial(loss) for loss in (*[1.0] * 10, *[1.5] * 4, latest)]
    for one in trials:
        one.user_attrs["folds"] = [one.value]
    assert ("gained nothing; one fold tells no noise" in reason(study, *trials)) == stops


def test_epochs_that_were_not_trained_do_not_count_towards_the_budget() -> None:
    study, answered, interrupted, again = config("max_epochs=20"), *(trial(1.0, steps=steps) for steps in (8, 6, 8))
    answered.user_attrs |= {"same_as": 0, "seconds": 0.0}
    interrupted.user_attrs["outcome"] = "interrupted"
    again.user_attrs["retry_of"] = 2  # it went on from the sixth epoch and reports all eight
    assert reason(study, trial(1.0), answered, interrupted, again) == ""
    assert "20 epochs were trained" in reason(study, trial(1.0), answered, interrupted, again, trial(1.0, steps=4))


def test_patience_looks_at_the_trials_in_the_order_they_ended() -> None:
    study = config("patience={trials: 5}")
    trials = [trial(1.0 + 0.1 * number, wobble=0.1 * (-1) ** number) for number in range(15)]
    assert "within the noise" in reason(study, *trials)
    trials[3] = trial(0.3, wobble=0.1)  # it paused, went on last, and gained
    assert reason(study, *trials) == ""


def waited(number: int, *, ended: bool) -> FrozenTrial:
    """Return a trial that paused in the n-th minute; where it has ended, it did so when the study was over."""
    one = paused(60.0)
    one.user_attrs[PAUSED_AT_KEY] = datetime(2026, 1, 1, 12, number).isoformat()
    if ended:
        one.state, one.datetime_complete = TrialState.PRUNED, datetime(2026, 1, 1, 13)
    return one


def test_a_trial_that_had_paused_and_was_stopped_later_counts_as_of_its_end() -> None:
    study, others = config(), [trial(1.0) for _ in range(3)]
    for number, one in enumerate(others):
        one.number, one.datetime_complete = number, datetime(2026, 1, 1, 12, 30 + number)
    stopped, still = (waited(minute, ended=True) for minute in (10, 11))
    stopped.number, still.number = 3, 4
    stopped.user_attrs["seconds"], still.user_attrs["seconds"] = 90.0, 60.0
    ordered = StudyHistory(study, (*others, stopped, still)).as_last_trained
    assert [one.number for one in ordered] == [4, 0, 1, 2, 3]


@pytest.mark.parametrize("ended", [False, True])
def test_patience_takes_trials_that_wait_as_of_when_they_paused(ended: bool) -> None:
    study, early, late = config("patience={trials: 5}"), range(5), range(20, 25)
    gains = [trial(1.5 - 0.05 * number, wobble=0.01 * (-1) ** number) for number in range(15)]
    for number, one in enumerate(gains):
        one.datetime_complete = datetime(2026, 1, 1, 12, 5 + number)
    assert reason(study, *gains, *[waited(minute, ended=ended) for minute in early]) == ""
    assert "last 5 trials gained 0" in reason(study, *gains, *[waited(minute, ended=ended) for minute in late])
