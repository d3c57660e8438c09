from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_search.search.policy import Policy, policy_of
from hms_search.search.pruners import Racing
from hms_search.search.racing import CatchUp, Ground, Race, Racer, catch_up_at, lag_at
from hms_search.training.steps import Steps

EPOCHS, FOLDS = 5, 2
TOTAL = EPOCHS * FOLDS
STEPS = Steps(FOLDS, EPOCHS)
TAKING_TURNS = Steps(FOLDS, EPOCHS, "interleaved")
PATIENTS, ROWS = 40, 4
NOTHING = CatchUp(0.0, 1)
FOUR_FIRST = Racing(n_startup_trials=4, grace=1, floor=0.0, audit=0.0)


def ground(patients: int = PATIENTS, rows: int = ROWS) -> Ground:
    """Return two folds with patients of their own, all rows counted."""
    owners = tuple(np.repeat(np.arange(patients) + fold * patients, rows) for fold in range(FOLDS))
    return Ground(owners, tuple(np.ones(len(of_fold), dtype=bool) for of_fold in owners))


class Trials:
    """Trials whose losses are a recording's difficulty, the trial's own loss, what is left to learn, and chance."""

    def __init__(self, where: Ground, *, seed: int = 0, steps: Steps = STEPS) -> None:
        self._rng, self._steps = np.random.default_rng(seed), steps
        self._ground = where
        self._difficulty = [self._rng.normal(0, 2.0, len(of_fold)) for of_fold in where.patients]

    def losses(self, loss: float, *, slow: float = 1.0, chance: float = 0.25) -> list[np.ndarray]:
        """Return the losses by step; patients differ in how well a trial does on them."""
        found = []
        for step in range(TOTAL):
            fold, epoch = self._steps.place(step)
            patients = self._ground.patients[fold]
            liked = self._rng.normal(0, chance, patients.max() + 1)[patients]
            learned = slow * (1.0 - epoch / (EPOCHS - 1))
            found.append(loss + learned + self._difficulty[fold] + liked)
        return found


def racing(file: Path, where: Ground, config: Racing | None = None, *, steps: Steps = STEPS) -> Policy:
    config = config or FOUR_FIRST
    return policy_of(
        config,
        steps=steps,
        study_name="s",
        direction="minimize",
        seed=0,
        race=Race(steps, where, file),
    )


def run(policy: Policy, number: int, losses: list[np.ndarray]) -> int:
    """Feed a trial; return how many steps it was given."""
    policy.begin(number, TOTAL)
    for step, of_step in enumerate(losses):
        if policy.epoch_ended(number, step, float(of_step.mean()), of_step) == "prune":
            policy.trial_ended(number, "pruned")
            return step + 1
    policy.trial_ended(number, "complete")
    return TOTAL


def started(policy: Policy, trials: Trials) -> None:
    """Finish the trials that a race begins with; the third is the best."""
    for number, loss in enumerate([0.9, 1.0, 0.6, 1.1]):
        assert run(policy, number, trials.losses(loss)) == TOTAL


def test_a_worse_trial_is_stopped_in_its_first_fold_though_recordings_differ_far_more_than_trials(
    tmp_path: Path,
) -> None:
    trials, policy = Trials(ground()), racing(tmp_path / "best.npz", ground())
    started(policy, trials)
    assert run(policy, 10, trials.losses(1.0)) < EPOCHS
    assert run(policy, 11, trials.losses(0.55)) == TOTAL


def test_nothing_is_stopped_in_the_grace_or_before_enough_trials_were_finished(tmp_path: Path) -> None:
    later = FOUR_FIRST.model_copy(update={"grace": 3})
    trials, policy = Trials(ground()), racing(tmp_path / "best.npz", ground(), later)
    started(policy, trials)
    assert run(policy, 10, trials.losses(2.0)) == 4
    young = racing(tmp_path / "other.npz", ground(), Racing(n_startup_trials=5, floor=0.0, audit=0.0))
    started(young, trials)
    assert run(young, 10, trials.losses(2.0)) == TOTAL


@pytest.mark.parametrize("steps", [STEPS, TAKING_TURNS], ids=lambda steps: steps.order)
@pytest.mark.parametrize("config", [FOUR_FIRST, Racing(floor=0.0, audit=0.0)], ids=["after four", "after one"])
def test_a_trial_as_good_as_the_best_is_stopped_in_no_more_than_one_race_of_twenty(
    tmp_path: Path, steps: Steps, config: Racing
) -> None:
    stopped, n = 0, 150
    for seed in range(n):
        trials = Trials(ground(), seed=seed, steps=steps)
        policy = racing(tmp_path / f"{seed}.npz", ground(), config, steps=steps)
        run(policy, 0, trials.losses(0.6))
        for number in range(1, config.n_startup_trials):
            run(policy, number, trials.losses(1.0))
        stopped += run(policy, 10, trials.losses(0.6)) < TOTAL
    assert stopped / n <= 0.05 + 0.035  # two standard errors of 150 draws


def test_slow_starters_are_let_on_where_early_epochs_say_little(tmp_path: Path) -> None:
    trials, policy = Trials(ground()), racing(tmp_path / "best.npz", ground())
    for number, (loss, slow) in enumerate([(0.9, 1.0), (0.8, 3.0), (0.6, 1.0), (0.7, 4.0)]):
        run(policy, number, trials.losses(loss, slow=slow))
    assert run(policy, 10, trials.losses(0.4, slow=3.0)) == TOTAL
    alike = racing(tmp_path / "alike.npz", ground())
    started(alike, trials)
    assert run(alike, 10, trials.losses(0.4, slow=3.0)) < TOTAL  # nothing has shown that curves cross


def test_patients_are_the_unit_so_that_copies_of_recordings_say_nothing_new() -> None:
    once, often = ground(rows=1), ground(rows=9)
    difference = np.random.default_rng(0).normal(0.1, 1.0, PATIENTS)
    mine, theirs = {0: difference}, {0: np.zeros(PATIENTS)}
    one = lag_at(0, STEPS, once, mine=mine, theirs=theirs)
    nine = lag_at(0, STEPS, often, mine={0: np.repeat(difference, 9)}, theirs={0: np.zeros(9 * PATIENTS)})
    assert one is not None
    assert nine is not None
    assert nine.variance == pytest.approx(one.variance)
    assert nine.freedom == pytest.approx(one.freedom) == PATIENTS - 1
    assert one.p_value(NOTHING) == pytest.approx(nine.p_value(NOTHING))


def test_the_power_is_that_of_the_calculation_for_390_patients() -> None:
    """Worse by 0.03 with a standard deviation of 0.25 over patients: found in 76 % of cases at 5 %, by 0.05 in 99 %."""
    where, rng = ground(patients=390, rows=1), np.random.default_rng(0)

    def found(worse: float, n: int = 1500) -> float:
        p_values = []
        for _ in range(n):
            lag = lag_at(0, STEPS, where, mine={0: rng.normal(worse, 0.25, 390)}, theirs={0: np.zeros(390)})
            assert lag is not None
            p_values.append(lag.p_value(NOTHING))
        return float(np.mean(np.array(p_values) < 0.05))

    assert found(0.03) == pytest.approx(0.76, abs=0.04)
    assert found(0.05) == pytest.approx(0.99, abs=0.01)
    assert found(0.0) == pytest.approx(0.05, abs=0.02)


def test_rows_that_the_objective_does_not_count_say_nothing() -> None:
    where = ground()
    half = tuple(np.arange(len(of_fold)) % 2 == 0 for of_fold in where.patients)
    difference = np.where(half[0], 0.0, 5.0)
    lag = lag_at(0, STEPS, Ground(where.patients, half), mine={0: difference}, theirs={0: np.zeros(len(difference))})
    assert lag is not None
    assert lag.mean == 0.0


def test_the_second_fold_is_judged_together_with_the_first() -> None:
    where = ground()
    zero = {step: np.zeros(PATIENTS * ROWS) for step in range(TOTAL)}
    mine = {step: np.full(PATIENTS * ROWS, 0.2 if step < EPOCHS else -0.4) for step in range(TOTAL)}
    lag = lag_at(EPOCHS, STEPS, where, mine=mine, theirs=zero)
    assert lag is not None
    assert lag.mean == pytest.approx(-0.1)
    assert lag_at(EPOCHS, STEPS, where, mine={EPOCHS: mine[EPOCHS]}, theirs=zero) is None


def test_folds_that_take_turns_are_raced_over_the_recordings_of_all_that_have_begun() -> None:
    zero = {step: np.zeros(PATIENTS * ROWS) for step in range(TOTAL)}
    mine = {step: np.full(PATIENTS * ROWS, 0.2 if step % 2 == 0 else -0.4) for step in range(TOTAL)}
    one, both, third = (lag_at(step, TAKING_TURNS, ground(), mine=mine, theirs=zero) for step in range(3))
    assert one is not None
    assert both is not None
    assert third is not None
    assert (one.mean, both.mean, third.mean) == pytest.approx((0.2, -0.1, -0.1))
    assert both.freedom == third.freedom == 2 * one.freedom


def test_catching_up_is_what_a_trial_gains_more_than_the_best_until_the_end() -> None:
    best, slow, worse = (dict(enumerate(one)) for one in ([1.0] * 4, [3.0, 1.0, 3.0, 1.0], [1.0, 2.0, 1.0, 2.0]))
    steps = Steps(n_folds=2, epochs=2)
    found = [catch_up_at(step, best, [slow, slow], steps) for step in range(3)]
    assert [one.mean_square for one in found] == pytest.approx([2.0, 0.0, 0.5])  # the first fold's end counts as much
    assert {one.freedom for one in found} == {4}
    assert catch_up_at(0, best, [worse], steps).mean_square == 0.0


def test_before_any_was_seen_to_catch_up_a_third_of_the_bests_own_gain_is_expected() -> None:
    steps = Steps(n_folds=1, epochs=3)
    best = {0: 4.0, 1: 1.0, 2: 1.0}
    assert catch_up_at(0, best, [], steps) == CatchUp(1.0, 2)
    assert catch_up_at(0, best, [best, best], steps) == CatchUp(0.5, 4)
    assert catch_up_at(1, best, [], steps) == CatchUp(0.0, 2)


@given(st.integers(1, 60), st.integers(0, 3))
def test_alpha_is_spent_once_over_all_epochs_and_more_of_it_early(n_steps: int, grace: int) -> None:
    config, n_steps = Racing(grace=grace), n_steps + grace
    spent = [config.alpha_at(step, n_steps) for step in range(n_steps)]
    assert sum(spent) == pytest.approx(config.alpha)
    assert spent[:grace] == [0.0] * grace
    assert spent[grace:] == sorted(spent[grace:], reverse=True)


def test_a_race_begins_with_the_first_trial_that_was_finished(tmp_path: Path) -> None:
    trials, policy = Trials(ground()), racing(tmp_path / "best.npz", ground(), Racing(floor=0.0, audit=0.0))
    assert run(policy, 0, trials.losses(0.6)) == TOTAL
    assert run(policy, 1, trials.losses(2.5)) < EPOCHS
    assert run(policy, 2, trials.losses(0.5)) == TOTAL


def test_a_resumed_race_decides_as_one_that_never_stopped(tmp_path: Path) -> None:
    trials, straight = Trials(ground()), racing(tmp_path / "best.npz", ground())
    started(straight, trials)
    later = [trials.losses(loss) for loss in (1.0, 0.62, 0.5, 0.9)]
    resumed = Race(STEPS, ground(), tmp_path / "best.npz")
    others = Trials(ground())
    for number, loss in enumerate([0.9, 1.0, 0.6, 1.1]):
        resumed.finished(number, dict(enumerate(float(of_step.mean()) for of_step in others.losses(loss))))
    policy = policy_of(
        FOUR_FIRST,
        steps=STEPS,
        study_name="s",
        direction="minimize",
        seed=0,
        race=resumed,
    )
    expected = [run(straight, 10 + number, losses) for number, losses in enumerate(later)]
    assert [run(policy, 10 + number, losses) for number, losses in enumerate(later)] == expected
    assert min(expected) < TOTAL


def test_the_best_is_kept_in_a_file_and_a_damaged_one_is_no_loss(tmp_path: Path) -> None:
    file = tmp_path / "best.npz"
    assert Racer.load(file) is None
    Racer(3, 0.5, {7: np.arange(4.0)}).save(file)
    kept = Racer.load(file)
    assert kept is not None
    assert (kept.number, kept.value) == (3, 0.5)
    np.testing.assert_array_equal(kept.losses[7], np.arange(4.0))
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:100], b"", whole[:-100] + bytes(100)):
        file.write_bytes(damaged)
        assert Racer.load(file) is None
    with file.open("wb") as other:
        np.savez(other, step7=np.arange(4.0))
    assert Racer.load(file) is None


def test_a_patient_in_all_folds_is_one_patient_and_not_as_many_as_folds() -> None:
    patients = np.repeat(np.arange(PATIENTS), 1)
    everywhere = Ground((patients,) * 5, (np.ones(PATIENTS, dtype=bool),) * 5)
    steps, rng, found = Steps(5, 1), np.random.default_rng(0), []
    for _ in range(400):
        liked = rng.normal(0, 1.0, (2, PATIENTS))  # by each of two equal trials, in every fold alike
        mine, theirs = ({step: one + rng.normal(0, 0.3, PATIENTS) for step in range(5)} for one in liked)
        lag = lag_at(4, steps, everywhere, mine=mine, theirs=theirs)
        assert lag is not None
        found.append(lag.p_value(NOTHING) < 0.05)
    assert np.mean(found) < 0.08


def test_what_the_best_may_still_gain_does_not_depend_on_how_hard_the_folds_to_come_are() -> None:
    curve = [1.0, 0.8, 0.6]
    even, harder = (dict(enumerate([*curve, *(value + shift for value in curve)])) for shift in (0.0, 0.5))
    found = [[catch_up_at(step, best, [], Steps(2, 3)) for step in range(6)] for best in (even, harder)]
    for one, other in zip(*found, strict=True):
        assert one.mean_square == pytest.approx(other.mean_square)
    assert found[0][0].mean_square > 0


def finished(race: Race, number: int, losses: list[np.ndarray], *, since: int = 0) -> None:
    """Let a trial run to its end; without its first epochs it was taken up there."""
    for step, of_step in list(enumerate(losses))[since:]:
        race.p_value(number, step, of_step)
    race.finished(number, {step: float(of_step.mean()) for step, of_step in enumerate(losses)})


def test_the_best_of_an_earlier_study_of_the_name_is_not_raced_against(tmp_path: Path) -> None:
    trials, where, file = Trials(ground()), ground(), tmp_path / "best.npz"
    finished(Race(STEPS, where, file), 0, trials.losses(-5.0))
    race = Race(STEPS, where, file)
    finished(race, 0, trials.losses(1.0))
    assert race.best is not None
    assert race.p_value(1, 0, trials.losses(1.0)[0]) > 0.001
    kept = Racer.load(file)
    assert kept is not None
    assert kept.value == race.best.value > 0


def test_a_trial_that_was_taken_up_on_its_way_does_not_end_the_race(tmp_path: Path) -> None:
    trials, race = Trials(ground()), Race(STEPS, ground(), tmp_path / "best.npz")
    finished(race, 0, trials.losses(0.6))
    finished(race, 1, trials.losses(0.2), since=4)
    assert race.best is not None
    assert race.best.number == 0
    assert race.p_value(2, 0, trials.losses(2.5)[0]) < 0.01


def test_of_two_sessions_of_one_folder_the_better_best_is_kept(tmp_path: Path) -> None:
    trials, file = Trials(ground()), tmp_path / "best.npz"
    mine, other = Race(STEPS, ground(), file), Race(STEPS, ground(), file)
    better, worse = trials.losses(0.5), trials.losses(0.6)
    finished(mine, 0, better)
    other.finished(0, {step: float(of_step.mean()) for step, of_step in enumerate(better)})  # as the storage tells
    finished(other, 1, worse)
    assert other.best is not None
    assert other.best.number == 0
    kept = Racer.load(file)
    assert kept is not None
    assert kept.number == 0
