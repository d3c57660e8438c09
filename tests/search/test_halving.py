from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_search.search.halving import PausingHalving, Resume, Scheduler, Start

TOTAL = 52
PLAIN = PausingHalving(reduction_factor=3, floor=0.0, straight=0.0)


def rising(number: int, _: int) -> float:
    """Flat curves, each worse than those before."""
    return float(number)


class Run:
    """A study of trials with known curves, several at a time, which end in an order drawn by lot."""

    def __init__(self, scheduler: Scheduler, curve: Callable[[int, int], float], *, workers: int = 1, seed: int = 0):
        self.scheduler, self.curve, self.workers = scheduler, curve, workers
        self.rng = np.random.default_rng(seed)
        self.running: dict[int, int] = {}
        self.reports: list[tuple[int, int, float]] = []
        self.turns: list[Start | Resume] = []
        self.steps: dict[int, int] = {}

    def trials(self, n_trials: int) -> "Run":
        while True:
            while len(self.running) < self.workers and self.take(may_start=len(self.steps) < n_trials):
                pass
            if not self.running:
                return self
            self.finish(int(self.rng.choice(sorted(self.running))))

    def take(self, *, may_start: bool) -> bool:
        turn = self.scheduler.next(self.running, may_start=may_start)
        if turn is None:
            return False
        self.turns.append(turn)
        number = turn.number if isinstance(turn, Resume) else len(self.steps)
        assert number not in self.running
        assert turn.until > self.steps.setdefault(number, 0)
        self.running[number] = TOTAL if self.scheduler.is_straight(number) else turn.until
        return True

    def finish(self, number: int) -> None:
        until = self.running.pop(number)
        for step in range(self.steps[number] + 1, until + 1):
            value = self.curve(number, step)
            self.steps[number] = step
            if np.isnan(value):
                self.scheduler.failed(number)
                return
            self.reports.append((number, step, value))
            self.scheduler.reached(number, step, value)


def scheduler_of(config: PausingHalving = PLAIN, direction: str = "minimize") -> Scheduler:
    return Scheduler(config, TOTAL, direction)  # type: ignore[arg-type]


def by_number(number: int, step: int) -> float:
    """Curves that never cross, in an order without pattern."""
    return (number * 37 % 101) / 100 + 1 / step


@given(st.integers(1, 500), st.integers(1, 20), st.integers(2, 6))
def test_rungs_rise_to_the_end_from_no_less_than_the_least(total: int, least: int, factor: int) -> None:
    rungs = PausingHalving(min_epochs=least, reduction_factor=factor).rungs(total)
    assert rungs[-1] == total
    assert all(first < second for first, second in pairwise(rungs))
    assert rungs[0] >= min(least, total)
    assert all(second / first < 2 * factor for first, second in pairwise(rungs))


def test_the_rungs_of_a_training_of_52_epochs() -> None:
    assert PLAIN.rungs(52) == (2, 6, 17, 52)
    assert PausingHalving().rungs(52) == (3, 13, 52)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_share_goes_on_from_each_rung_and_they_are_the_best_of_it(workers: int) -> None:
    run = Run(scheduler_of(), by_number, workers=workers).trials(81)
    reached = {rung: [number for number, step in run.steps.items() if step >= rung] for rung in run.scheduler.rungs}
    assert [len(numbers) for numbers in reached.values()] == [81, 27, 9, 3]
    best = min(range(81), key=lambda number: by_number(number, TOTAL))
    assert best in reached[TOTAL]


def test_no_more_go_on_than_the_share_when_every_trial_is_better_than_those_before() -> None:
    run = Run(scheduler_of(), lambda number, _: -float(number)).trials(60)
    assert sum(step > 2 for step in run.steps.values()) == 20


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5]))
def test_a_trial_is_in_one_place_only_and_never_goes_back(seed: int, workers: int, share: float) -> None:
    values = np.random.default_rng(seed).choice([0.1, 0.2, 0.3, np.nan], size=(20, TOTAL + 1), p=[0.4, 0.3, 0.29, 0.01])
    config = PausingHalving(reduction_factor=3, floor=share, straight=share)
    run = Run(scheduler_of(config), lambda n, step: float(values[n, step]), workers=workers, seed=seed)
    run.trials(20)  # take() asserts it at every turn
    resumed = [(turn.number, turn.until) for turn in run.turns if isinstance(turn, Resume)]
    assert len(resumed) == len(set(resumed))
    for number, step in run.steps.items():
        assert step in run.scheduler.rungs or np.isnan(values[number, step])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_replaying_the_reports_leads_to_the_same_decision(seed: int) -> None:
    values = np.random.default_rng(seed).random((30, TOTAL + 1))
    config = PausingHalving(reduction_factor=3, floor=0.1, straight=0.1)
    run = Run(scheduler_of(config), lambda n, step: float(values[n, step])).trials(seed % 30 + 1)
    again = scheduler_of(config)
    for number, step, value in run.reports:
        again.reached(number, step, value)
    assert again.next(()) == run.scheduler.next(())
    assert (again.paused, again.finished, again.audits) == (
        run.scheduler.paused,
        run.scheduler.finished,
        run.scheduler.audits,
    )


def test_a_trial_interrupted_on_its_way_goes_on_from_its_rung_again() -> None:
    scheduler = scheduler_of()
    for number in range(3):
        scheduler.reached(number, 2, float(number))
    assert scheduler.next(()) == Resume(0, 6)
    assert scheduler.next({0}) == Start(2)
    assert scheduler.next(()) == Resume(0, 6)


def test_maximising_is_minimising_the_negated_values() -> None:
    low = Run(scheduler_of(), by_number, workers=3).trials(50)
    high = Run(scheduler_of(direction="maximize"), lambda n, step: -by_number(n, step), workers=3).trials(50)
    assert low.turns == high.turns


def test_of_equal_trials_the_earlier_goes_on() -> None:
    scheduler = scheduler_of()
    for number in range(6):
        scheduler.reached(number, 2, 0.5)
    assert scheduler.next(()) == Resume(0, 6)
    assert scheduler.next({0}) == Resume(1, 6)
    assert scheduler.next({0, 1}) == Start(2)


def test_of_equal_trials_the_one_whose_first_attempt_was_earlier_goes_on() -> None:
    scheduler = scheduler_of()
    for number in range(6):
        scheduler.reached(number, 2, 0.5)
    scheduler.forget(0)
    scheduler.place(6, 0)
    scheduler.reached(6, 2, 0.5)
    assert scheduler.next(()) == Resume(6, 6)
    assert scheduler.next({6}) == Resume(1, 6)


def test_a_diverged_trial_counts_as_the_worst_and_does_not_go_on() -> None:
    scheduler = scheduler_of(PausingHalving(reduction_factor=3, floor=0.0, straight=0.0))
    scheduler.reached(0, 2, float("nan"))
    scheduler.reached(1, 2, 9.0)
    scheduler.failed(2)
    assert scheduler.next(()) == Resume(1, 6)
    assert scheduler.paused == (1,)
    scheduler.reached(1, 6, 8.0)
    assert scheduler.next(()) == Start(2)
    assert scheduler.next((), may_start=False) == Resume(1, TOTAL)


def test_a_trial_that_somebody_else_stopped_does_not_go_on() -> None:
    scheduler = scheduler_of()
    for number in range(3):
        scheduler.reached(number, 2, float(number))
    scheduler.ended(0)
    assert scheduler.next(()) == Resume(1, 6)


@pytest.mark.parametrize(("n_trials", "floor", "expected"), [(2, 0.0, 1), (10, 0.0, 1), (30, 0.2, 6), (5, 1.0, 5)])
def test_a_floor_of_trials_reaches_the_end(n_trials: int, floor: float, expected: int) -> None:
    config = PausingHalving(reduction_factor=3, floor=floor, straight=0.0)
    run = Run(scheduler_of(config), by_number).trials(n_trials)
    assert len(run.scheduler.finished) == expected
    best = sorted(range(n_trials), key=lambda number: by_number(number, TOTAL))[0]
    assert best in run.scheduler.finished


def test_the_floor_holds_where_all_but_one_diverge() -> None:
    run = Run(scheduler_of(), lambda n, step: np.nan if n != 7 and step == 1 else 1.0).trials(10)
    assert run.scheduler.finished == (7,)


def test_a_share_of_the_trials_does_not_pause_and_the_others_go_on_as_without_them() -> None:
    run = Run(scheduler_of(PausingHalving(reduction_factor=3, floor=0.0, straight=0.25)), by_number).trials(81)
    straight = [number for number in range(81) if run.scheduler.is_straight(number)]
    assert straight == list(range(11, 81, 4))
    assert not {turn.number for turn in run.turns if isinstance(turn, Resume)} & set(straight)
    reached = [{number for number, step in run.steps.items() if step >= rung} for rung in run.scheduler.rungs]
    assert [len(numbers - set(straight)) for numbers in reached[1:]] == [27, (27 + 18) // 3, (15 + 18) // 3]


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 1.0])
def test_straight_trials_are_as_many_as_their_share_after_the_first_eight(share: float) -> None:
    scheduler = scheduler_of(PausingHalving(straight=share))
    straight = [scheduler.is_straight(number) for number in range(1008)]
    assert not any(straight[:8])
    assert sum(straight[8:]) == pytest.approx(share * 1000, abs=1)


def test_straight_trials_say_which_pauses_were_wrong() -> None:
    def slow(number: int, step: int) -> float:
        """The last in the beginning are the first in the end."""
        return float(number if step < 20 else -number)

    config = PausingHalving(reduction_factor=3, floor=0.0, straight=0.1)
    run = Run(scheduler_of(config), slow).trials(150)
    audits = run.scheduler.audits
    assert [audit.number for audit in audits] == list(range(19, 150, 10))  # the ninth is among the best at every rung
    assert all(audit.wrong for audit in audits if audit.number > 100)
    assert all(audit.step == 2 for audit in audits if audit.number > 100)
    steady = Run(scheduler_of(config), rising).trials(150)
    assert not any(audit.wrong for audit in steady.scheduler.audits)


def test_an_exempt_trial_takes_nobodys_place_and_is_none_of_the_floor() -> None:
    scheduler = scheduler_of()
    scheduler.exempt(0)
    for step in scheduler.rungs:
        scheduler.reached(0, step, 0.0)
    for number in (1, 2):
        scheduler.reached(number, 2, float(number))
    assert scheduler.finished == (0,)
    assert scheduler.next(()) == Resume(1, 6)
    scheduler.reached(1, 6, 1.0)
    assert scheduler.next((), may_start=False) == Resume(1, TOTAL)


def test_where_a_study_has_done_enough_only_the_floor_goes_on() -> None:
    scheduler = scheduler_of()
    for number in range(9):
        scheduler.reached(number, 2, float(number))
    assert scheduler.next((), may_start=False, may_promote=False) == Resume(0, TOTAL)
    scheduler.reached(0, TOTAL, 0.0)
    assert scheduler.next((), may_start=False, may_promote=False) is None
    assert scheduler.next((), may_start=False) == Resume(1, 6)


def test_an_interrupted_trial_is_no_rival_of_the_one_that_goes_on_in_its_place() -> None:
    scheduler = scheduler_of()
    for number in range(5):
        scheduler.reached(number, 2, float(number))
    scheduler.forget(4)
    scheduler.reached(0, 6, 0.0)
    scheduler.reached(5, 2, 4.0)  # the fourth again
    assert scheduler.next(()) == Start(2)
    scheduler.reached(6, 2, 6.0)
    assert scheduler.next(()) == Resume(1, 6)
