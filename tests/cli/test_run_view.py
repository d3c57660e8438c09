"""What the view of a running study says of the time left."""

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from hms_search.cli.run import StudyView, run_command
from hms_search.errors import ConfigError
from hms_search.search.events import Finished, Judged, RoundBegan, Submitted
from hms_search.search.places import Places
from hms_search.search.study import read_study
from hms_search.search.trial import EpochEnded, TrialEnded
from hms_search.training.results import Epoch

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
SETTINGS = ("pruner={name: none}", "workers=1", "space.base.training.epochs=5", "folds={name: grouped, n_folds: 2}")
"""Trials of ten epochs, which take a minute each here."""


def view(*settings: str) -> StudyView:
    return StudyView(read_study(QUICKSTART, (*SETTINGS, *settings)), Console(file=io.StringIO(), width=200))


def run_trial(
    shown: StudyView,
    number: int,
    *,
    to_come: int = 3,
    epochs: int = 0,
    hours: float = 0.0,
    seconds_left: float = math.inf,
) -> None:
    shown.on_event(Submitted(number, 0, {}, number == 0, to_come, epochs, hours, seconds_left))
    for step in range(10):
        position, epoch = divmod(step, 5)
        one = Epoch(position, epoch, 5, 0.5, 0.5, {}, 60.0, 1e-3, position=position, step=step)
        shown.on_event(Judged(EpochEnded(number, one), "continue"))
    shown.on_event(Finished(TrialEnded(number, "complete", "", 600.0, (0.5,))))


@pytest.mark.parametrize(
    ("settings", "minutes"),
    [
        (("trials=4",), 30),
        (("trials=4", "max_epochs=25"), 15),
        (("trials=4", "max_epochs=10"), 0),
        (("trials=4", "max_epochs=1000"), 30),
        (("trials=4", "max_hours=0.5"), 20),
        (("trials=4", "max_hours=100"), 30),
        (("trials=20", "rounds={count: 3, trials: 4}"), 30 + 80),
        (("trials=20", "rounds={count: 3, trials: 4}", "max_epochs=15"), 5 + 30),
        (("trials=20", "rounds={count: 3, trials: 4}", "max_hours=0.25"), 5 + 30),
    ],
)
def test_the_time_left_heeds_the_epochs_there_are_and_the_rounds_to_come(
    settings: tuple[str, ...], minutes: int
) -> None:
    shown = view(*settings)
    run_trial(shown, 0)
    assert shown._seconds_left() == 60 * minutes


def test_the_time_left_knows_of_the_trials_of_other_sessions() -> None:
    shown = view("trials=20")
    run_trial(shown, 18, to_come=1)
    assert shown._seconds_left() == 60 * 10


@pytest.mark.parametrize(
    ("settings", "epochs", "hours", "minutes"),
    [(("max_epochs=100",), 80, 1.0, 10), (("max_epochs=100",), 90, 1.0, 0), (("max_hours=2",), 90, 1.5, 20)],
)
def test_the_time_left_knows_what_earlier_sessions_spent(
    settings: tuple[str, ...], epochs: int, hours: float, minutes: int
) -> None:
    shown = view("trials=40", *settings)
    run_trial(shown, 9, to_come=30, epochs=epochs, hours=hours)
    assert shown._seconds_left() == pytest.approx(60 * minutes)


def test_trials_that_run_use_up_the_hours_there_are() -> None:
    shown = view("trials=40", "max_hours=0.5")
    for number in range(2):
        shown.on_event(Submitted(number, 0, {}, number == 0, 38, 10 * number))
        for step in range(5):
            one = Epoch(0, step, 5, 0.5, 0.5, {}, 60.0, 1e-3, step=step)
            shown.on_event(Judged(EpochEnded(number, one), "continue"))
    assert shown._seconds_left() == pytest.approx(60 * 20)


@pytest.mark.parametrize("seconds", [0.0, 1800.0])
def test_no_more_time_is_left_than_the_session_has(seconds: float) -> None:
    shown = view("trials=40")
    run_trial(shown, 0, to_come=39, seconds_left=seconds)
    assert shown._seconds_left() <= seconds


def test_a_number_of_trials_is_refused_where_rounds_have_their_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"each of its own number; write --set rounds\.trials=N"):
        run_command(QUICKSTART, ("rounds={count: 2, trials: 4}", "trials=30"), Places(root=tmp_path))


def test_a_round_that_began_is_no_longer_to_come() -> None:
    shown = view("rounds={count: 2, trials: 4}")
    run_trial(shown, 0)
    assert shown._seconds_left() == 60 * (30 + 40)
    shown.on_event(RoundBegan(2, read_study(QUICKSTART, (*SETTINGS, "trials=4")), ()))
    run_trial(shown, 0)
    assert shown._seconds_left() == 60 * 30
