from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.search.halving import PausingHalving, Resume, Start
from hms_search.search.outcomes import CARRIED_KEY, PAUSED_KEY
from hms_search.search.policy import Policy, policy_of
from hms_search.search.pruners import (
    Hyperband,
    Median,
    NoPruner,
    Patient,
    Percentile,
    Pruner,
    Racing,
    SuccessiveHalving,
    Threshold,
)
from hms_search.search.racing import Ground, Race
from hms_search.search.report import SPARED_KEY
from hms_search.training.steps import Steps

EPOCHS = 4
TOTAL = 2 * EPOCHS
FAR_TOO_STRICT = Threshold(upper=0.57, audit=0.0)


SEQUENTIAL = Steps(2, EPOCHS)
IN_TURNS = Steps(2, EPOCHS, "interleaved")


def policy(pruner: Pruner, seed: int = 0, *, steps: Steps = SEQUENTIAL, keep: float | None = None) -> Policy:
    nobody = Race(steps, Ground((), ()), Path("nowhere"))
    return policy_of(pruner, steps=steps, study_name="s", direction="minimize", seed=seed, race=nobody, keep=keep)


def value_at(step: int, folds: list[float], steps: Steps = SEQUENTIAL) -> float:
    """Return the value of a curve that falls to each fold's value."""
    position, epoch = steps.place(step)
    return folds[position] + 1.0 / (epoch + 1)


def run(judge: Policy, number: int, folds: list[float], *, exempt: bool = False, steps: Steps = SEQUENTIAL) -> int:
    """Feed a trial to its end, or until it is stopped; return the number of its steps."""
    judge.begin(number, TOTAL, exempt=exempt)
    for step in range(TOTAL):
        if judge.epoch_ended(number, step, value_at(step, folds, steps)) == "prune":
            judge.trial_ended(number, "pruned")
            return step + 1
    judge.trial_ended(number, "complete")
    return TOTAL


def run_together(judge: Policy, numbers: range, folds: list[float]) -> list[int]:
    """Feed trials that run at once, epoch by epoch, and end when all have; return the number of steps of each."""
    stopped: dict[int, int] = {}
    for number in numbers:
        judge.begin(number, TOTAL)
    for step in range(TOTAL):
        for number in numbers:
            if number not in stopped and judge.epoch_ended(number, step, value_at(step, folds)) == "prune":
                stopped[number] = step + 1
    for number in numbers:
        judge.trial_ended(number, "pruned" if number in stopped else "complete")
    return [stopped.get(number, TOTAL) for number in numbers]


def paused(number: int, folds: list[float], n_steps: int, **attrs: object) -> FrozenTrial:
    """Return a trial that waits after some steps."""
    trial = stored(number, folds, n_steps, {PAUSED_KEY: 3.0, **attrs})
    trial.state, trial.value = TrialState.RUNNING, None
    return trial


def stored(
    number: int, folds: list[float], n_steps: int, attrs: dict[str, Any] | None = None, *, steps: Steps = SEQUENTIAL
) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.COMPLETE if n_steps == TOTAL else TrialState.PRUNED,
        value=1.0,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values={step: value_at(step, folds, steps) for step in range(n_steps)},
        user_attrs=attrs or {},
    )
    trial.number = number
    return trial


@pytest.mark.parametrize(("steps", "keep"), [(SEQUENTIAL, None), (IN_TURNS, None), (SEQUENTIAL, 0.5)])
@pytest.mark.parametrize(
    "pruner", [Median(), Percentile(), SuccessiveHalving(), Hyperband(), Threshold(upper=2.5), Patient(), NoPruner()]
)
def test_a_resumed_policy_decides_as_one_that_never_stopped(pruner: Pruner, steps: Steps, keep: float | None) -> None:
    values = [
        [0.5, 0.6],
        [0.4, 0.7],
        [0.9, 0.9],
        [0.3, 1.9],
        [0.6, 0.5],
        [0.2, 0.2],
        [0.8, 0.1],
        [0.5, 0.5],
        [0.7, 0.9],
    ]
    straight, first, resumed = (policy(pruner, steps=steps, keep=keep) for _ in range(3))
    decisions = [run(straight, number, value, steps=steps) for number, value in enumerate(values)]
    for number, value in enumerate(values[:6]):
        n_steps, spared_at = run(first, number, value, steps=steps), first.spared_at(number)
        attrs = {} if spared_at is None else {SPARED_KEY: spared_at}
        resumed.replay(stored(number, value, n_steps, attrs, steps=steps))
    later = enumerate(values[6:], start=6)
    assert [run(resumed, number, value, steps=steps) for number, value in later] == decisions[6:]


def test_a_pruner_that_would_stop_all_lets_the_floor_reach_the_end() -> None:
    judge = policy(FAR_TOO_STRICT)
    run(judge, 0, [0.9, 0.9], exempt=True)
    steps = [run(judge, number, [0.9, 0.9]) for number in range(1, 41)]
    assert steps.count(TOTAL) == 4
    assert steps.count(1) == 36
    assert [judge.spared_at(number) for number, found in enumerate(steps, start=1) if found == TOTAL] == [1] * 4


@pytest.mark.parametrize("at_once", [1, 4, 8, 20, 40])
@pytest.mark.parametrize("floor", [0.1, 0.5])
def test_the_floor_is_that_share_of_the_trials_however_many_run_at_once(at_once: int, floor: float) -> None:
    judge = policy(Threshold(upper=0.57, audit=0.0, floor=floor))
    waves = [range(first, first + at_once) for first in range(0, 40, at_once)]
    steps = [step for wave in waves for step in run_together(judge, wave, [0.9, 0.9])]
    assert steps.count(TOTAL) == 40 * floor
    assert steps.count(1) == 40 - 40 * floor


def test_the_exempt_baseline_counts_neither_as_stopped_nor_as_spared() -> None:
    judge = policy(FAR_TOO_STRICT)
    assert run(judge, 0, [0.9, 0.9], exempt=True) == TOTAL
    assert judge.spared_at(0) is None


def test_about_the_audited_share_of_those_that_would_be_stopped_is_finished() -> None:
    judge = policy(Threshold(upper=0.57, floor=0.0, audit=0.2))
    finished = [run(judge, number, [0.9, 0.9]) == TOTAL for number in range(300)]
    assert 40 <= sum(finished) <= 80  # 60 expected, three standard deviations are 21
    other_seed = policy(Threshold(upper=0.57, floor=0.0, audit=0.2), seed=1)
    assert [run(other_seed, number, [0.9, 0.9]) == TOTAL for number in range(300)] != finished


def test_an_audited_trial_that_is_run_again_is_audited_again() -> None:
    judge = policy(Threshold(upper=0.57, floor=0.0, audit=0.2))
    begun = [judge.epoch_ended(number, 0, 1.0) for number in range(100)]
    for number in range(100):
        judge.trial_ended(number, "interrupted")
        judge.begin(100 + number, TOTAL, place=number)
    assert [judge.epoch_ended(100 + number, 0, 1.0) for number in range(100)] == begun
    assert {"continue", "prune"} == set(begun)


def test_a_good_trial_is_not_marked_as_spared() -> None:
    judge = policy(Threshold(upper=2.5, audit=1.0))
    assert run(judge, 0, [0.9, 0.9]) == TOTAL
    assert judge.spared_at(0) is None


def test_a_pausing_policy_pauses_at_its_rungs_and_goes_on_with_the_best() -> None:
    judge = policy(PausingHalving(min_epochs=2, reduction_factor=2, straight=0.0, floor=0.0))
    for number, value in enumerate([0.5, 0.3]):
        turn = judge.next((), may_start=True)
        assert turn == Start(2)
        judge.begin(number, turn.until)
        assert [judge.epoch_ended(number, step, value_at(step, [value, value])) for step in range(2)] == [
            "continue",
            "pause",
        ]
    assert judge.next((), may_start=True) == Resume(1, 4)


def test_a_pausing_policy_judges_a_second_fold_by_the_mean_over_the_folds() -> None:
    judge = policy(PausingHalving(min_epochs=6, reduction_factor=2, straight=0.0, floor=0.0))
    assert judge.next((), may_start=True) == Start(TOTAL)
    halving = policy(PausingHalving(min_epochs=3, reduction_factor=2, straight=0.0, floor=0.0))
    for number, (first, second) in enumerate([(0.1, 1.0), (0.9, 0.8)]):
        halving.begin(number, 4)
        for step in range(4):
            halving.epoch_ended(number, step, first if step < EPOCHS else second)
    assert halving.next((), may_start=True) == Resume(0, TOTAL)


def test_a_baseline_is_not_paused() -> None:
    judge = policy(PausingHalving(min_epochs=2, reduction_factor=2))
    judge.begin(0, 2, exempt=True)
    assert {judge.epoch_ended(0, step, 1.0) for step in range(TOTAL)} == {"continue"}


@pytest.mark.parametrize("resumed", [False, True])
def test_a_baseline_that_does_not_pause_takes_nobodys_place(resumed: bool) -> None:
    judge = policy(PausingHalving(min_epochs=2, reduction_factor=2, straight=0.0))
    if resumed:
        judge.replay(stored(0, [0.1, 0.1], TOTAL, {"baseline": True}))
    else:
        run(judge, 0, [0.1, 0.1], exempt=True)
    judge.begin(1, 2)
    for step in range(2):
        judge.epoch_ended(1, step, 0.9)
    assert judge.next((), may_start=True) == Resume(1, 4)
    assert judge.next((), may_start=False, may_promote=False) == Resume(1, TOTAL)


def test_folds_that_take_turns_are_judged_by_their_mean_and_only_at_equal_epochs() -> None:
    judge = policy(Median(n_startup_trials=2, floor=0.0, audit=0.0), steps=IN_TURNS)
    for number in range(3):
        assert run(judge, number, [0.25 * number, 1.0 - 0.25 * number], steps=IN_TURNS) == TOTAL
    assert run(judge, 3, [0.8, 0.1], steps=IN_TURNS) == TOTAL  # bad in one fold, better in the mean
    assert run(judge, 4, [0.3, 0.8], steps=IN_TURNS) == 2  # both folds have had their first epoch


def test_halving_ranks_folds_that_take_turns_by_their_mean() -> None:
    halving = policy(PausingHalving(min_epochs=2, reduction_factor=2, straight=0.0, floor=0.0), steps=IN_TURNS)
    for number, folds in enumerate([[0.1, 1.0], [0.6, 0.3]]):
        halving.begin(number, 2)
        words = [halving.epoch_ended(number, step, value_at(step, folds, IN_TURNS)) for step in range(2)]
        assert words == ["continue", "pause"]
    assert halving.next((), may_start=True) == Resume(1, 4)


def test_only_contenders_go_on_to_another_fold() -> None:
    judge = policy(NoPruner(floor=0.0, audit=0.0), keep=0.5)
    firsts = [0.5, 0.9, 0.4, 0.6, 0.3, 0.45]
    found = [run(judge, number, [first, 0.5]) for number, first in enumerate(firsts)]
    assert found == [TOTAL, EPOCHS, TOTAL, EPOCHS, TOTAL, TOTAL]


def test_of_those_that_are_no_contenders_the_floor_and_the_audit_finish_some() -> None:
    rising = [[0.1 * number, 0.5] for number in range(1, 21)]
    floored = policy(NoPruner(floor=0.2, audit=0.0), keep=0.01)
    assert [run(floored, number, folds) for number, folds in enumerate(rising)].count(TOTAL) == 4
    audited = policy(NoPruner(floor=0.0, audit=1.0), keep=0.01)
    assert {run(audited, number, folds) for number, folds in enumerate(rising)} == {TOTAL}
    assert [audited.spared_at(number) for number in range(1, 20)] == [EPOCHS] * 19


def test_the_baseline_runs_all_folds_though_it_is_no_contender() -> None:
    judge = policy(NoPruner(floor=0.0, audit=0.0), keep=0.01)
    assert run(judge, 0, [0.1, 0.1]) == TOTAL
    assert run(judge, 1, [0.9, 0.9], exempt=True) == TOTAL


def test_trials_carried_from_an_earlier_round_do_not_use_up_the_floor() -> None:
    begun, fresh = (policy(Threshold(upper=0.57, audit=0.0, floor=0.1)) for _ in range(2))
    for number in range(8):
        begun.replay(stored(number, [0.1, 0.1], TOTAL, {CARRIED_KEY: f"earlier#{number}"}))  # type: ignore[dict-item]
    finished = [sum(run(judge, 8 + n, [0.8, 0.8]) == TOTAL for n in range(40)) for judge in (begun, fresh)]
    assert finished[0] == finished[1] > 0


def test_trials_carried_from_an_earlier_round_take_nobodys_place_at_a_rung() -> None:
    config = PausingHalving(min_epochs=2, reduction_factor=4, straight=0.0)
    begun, fresh = policy(config), policy(config)
    for number in range(6):
        begun.replay(stored(number, [0.1, 0.1], TOTAL, {CARRIED_KEY: f"earlier#{number}"}))  # type: ignore[dict-item]
    for judge in (begun, fresh):
        for number in range(6, 10):
            judge.begin(number, 2)
            for step in range(2):
                judge.epoch_ended(number, step, value_at(step, [0.5 + 0.01 * number] * 2))
    assert begun.next((), may_start=True) == fresh.next((), may_start=True) == Resume(6, TOTAL)


def test_a_trial_that_is_over_cannot_be_stopped_and_so_is_not_spared() -> None:
    judge = policy(Threshold(upper=0.57, n_warmup_epochs=EPOCHS - 1, audit=1.0))
    for step in range(TOTAL):
        low_until_the_end = 0.1 if step < TOTAL - 1 else 0.9
        assert judge.epoch_ended(0, step, low_until_the_end) == "continue"
    assert judge.spared_at(0) is None


@pytest.mark.parametrize(("steps", "keep"), [(SEQUENTIAL, None), (IN_TURNS, None), (SEQUENTIAL, 0.5)])
@pytest.mark.parametrize("pruner", [Median(), Hyperband(), NoPruner(), Racing()])
def test_trials_that_paused_under_another_pruner_go_on_before_others_start(
    pruner: Pruner, steps: Steps, keep: float | None
) -> None:
    judge = policy(pruner, steps=steps, keep=keep)
    for number in (3, 1, 2):
        judge.replay(paused(number, [0.5, 0.5], 3))
    assert judge.next((), may_start=True) == Resume(1, TOTAL)
    assert judge.next((1,), may_start=True, away=(2,)) == Resume(3, TOTAL)
    assert judge.next((1, 2, 3), may_start=True) == Start(TOTAL)
    assert judge.next((), may_start=False, may_promote=False) is None
    for number in (1, 2, 3):
        judge.begin(number, TOTAL)
        words = [judge.epoch_ended(number, step, value_at(step, [0.5, 0.5], steps)) for step in range(3, TOTAL)]
        assert "pause" not in words
        judge.trial_ended(number, "complete")
    assert judge.next((), may_start=True) == Start(TOTAL)


def test_trials_that_paused_under_other_rules_before_the_first_rung_go_on_to_it() -> None:
    judge = policy(PausingHalving(min_epochs=4, reduction_factor=2, straight=0.0, floor=0.0))
    judge.replay(paused(1, [0.9, 0.9], 2))
    judge.replay(paused(2, [0.5, 0.5], 5))  # a median pruner had gone on with it
    assert judge.next((), may_start=True) == Resume(1, EPOCHS)
    assert judge.next((), may_start=True, away=(1,)) == judge.next((1,), may_start=True) == Start(EPOCHS)
    judge.begin(1, EPOCHS)
    assert [judge.epoch_ended(1, step, value_at(step, [0.9, 0.9])) for step in (2, 3)] == ["continue", "pause"]
    assert judge.next((), may_start=False) == Resume(2, TOTAL)


def test_a_trial_that_repeats_an_interrupted_one_goes_at_least_to_where_that_was_going() -> None:
    judge = policy(PausingHalving(min_epochs=2, reduction_factor=2, straight=0.25, floor=0.0))
    (straight,) = [number for number in range(12) if until(judge, number) == TOTAL]
    for beyond, going in ((0, 2), (1, 2), (2, 4), (5, TOTAL)):
        assert until(judge, 20, place=1, beyond=beyond) == going
    assert until(judge, straight + 12) == TOTAL, "it is itself straight"
    assert until(judge, straight + 12, place=1) == 2
    assert until(judge, 20, place=straight, beyond=1) == TOTAL


def until(judge: Policy, number: int, *, place: int | None = None, beyond: int = 0) -> int:
    """Return after how many steps a trial pauses, or ends."""
    judge.begin(number, 2, place=place, beyond=beyond)
    words = (judge.epoch_ended(number, step, 1.0) for step in range(TOTAL))
    found = next((step + 1 for step, word in enumerate(words) if word == "pause"), TOTAL)
    judge.trial_ended(number, "interrupted")
    return found
