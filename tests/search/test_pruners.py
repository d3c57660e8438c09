import numpy as np
import optuna
import pytest

from hms_search.search.pruners import (
    FoldJudge,
    Hyperband,
    Median,
    NoPruner,
    Patient,
    Percentile,
    Pruner,
    SuccessiveHalving,
    Threshold,
)
from hms_search.training.steps import Steps

EPOCHS = 4


def judge_of(pruner: Pruner) -> FoldJudge:
    return FoldJudge(pruner, steps=Steps(n_folds=2, epochs=EPOCHS), study_name="s")


def run(judge: FoldJudge, number: int, fold_values: list[float]) -> int | None:
    """Feed a trial whose curves fall to each fold's value; return the step it is pruned at."""
    for fold, value in enumerate(fold_values):
        for epoch in range(EPOCHS):
            step = fold * EPOCHS + epoch
            if judge.epoch_ended(number, step, value + 1.0 / (epoch + 1)):
                judge.trial_ended(number)
                return step
    judge.trial_ended(number)
    return None


def easier_first_fold(judge: FoldJudge, n_trials: int = 8) -> None:
    """Fold 1 is easier than fold 2 for every trial."""
    for number in range(n_trials):
        run(judge, number, [0.4 + 0.01 * number, 0.9 + 0.01 * number])


def test_the_stock_median_pruner_is_blind_in_the_second_fold() -> None:
    """The fault that the fold-wise judge exists for; if Optuna mends it, this test says so."""
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=5))
    for _ in range(8):
        trial = study.ask()
        for step, value in enumerate([0.5, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9]):
            trial.report(value, step)
        study.tell(trial, 0.65)
    bad = study.ask()
    for step, value in enumerate([0.5, 0.4, 0.4, 0.4, 5.0, 5.0, 5.0, 5.0]):
        bad.report(value, step)
        assert not bad.should_prune()


@pytest.mark.parametrize("pruner", [Median(), Percentile(percentile=50), SuccessiveHalving(reduction_factor=2)])
def test_a_bad_second_fold_is_pruned_in_the_second_fold(pruner: Pruner) -> None:
    judge = judge_of(pruner)
    easier_first_fold(judge)
    step = run(judge, 99, [0.30, 5.0])
    assert step is not None
    assert step >= EPOCHS


def test_a_good_trial_in_a_harder_second_fold_is_kept() -> None:
    judge = judge_of(Median())
    easier_first_fold(judge)
    assert run(judge, 99, [0.35, 0.85]) is None


def test_hyperband_with_one_bracket_prunes_as_successive_halving_does() -> None:
    halving, hyperband = judge_of(SuccessiveHalving(reduction_factor=5)), judge_of(Hyperband(reduction_factor=5))
    values = [[0.5, 0.6], [0.4, 0.7], [0.9, 0.9], [0.3, 1.5], [0.6, 0.5], [0.2, 0.2], [0.8, 0.1]]
    assert [run(halving, n, v) for n, v in enumerate(values)] == [run(hyperband, n, v) for n, v in enumerate(values)]


def test_a_threshold_sees_each_epoch_of_each_fold() -> None:
    judge = judge_of(Threshold(upper=2.0))
    assert run(judge, 0, [0.5, 0.9]) is None
    assert run(judge, 1, [0.5, 1.5]) == EPOCHS


def test_patience_starts_anew_in_each_fold() -> None:
    judge = judge_of(Patient(patience=1))
    for step, value in enumerate([0.5, 0.4, 0.3, 0.2]):
        assert not judge.epoch_ended(0, step, value)
    assert not judge.epoch_ended(0, 4, 0.9)  # worse than fold 1, but the first of its own fold
    assert not judge.epoch_ended(0, 5, 0.95)
    assert judge.epoch_ended(0, 6, 0.99)


def test_no_pruner_prunes_nothing() -> None:
    judge = judge_of(NoPruner())
    easier_first_fold(judge)
    assert run(judge, 99, [50.0, 50.0]) is None


def test_curves_of_failed_trials_are_no_evidence() -> None:
    judge = judge_of(Median(n_startup_trials=1))
    judge.epoch_ended(0, 0, 0.1)
    judge.trial_ended(0, "failed")
    assert not judge.epoch_ended(1, 0, 9.0)


@pytest.mark.parametrize("pruner", [Median(n_startup_trials=3), SuccessiveHalving(reduction_factor=2)])
def test_curves_of_a_trial_that_is_run_again_count_once(pruner: Pruner) -> None:
    died, never = judge_of(pruner), judge_of(pruner)
    for judge in (died, never):
        for number, value in enumerate([0.5, 0.7]):
            run(judge, number, [value, value])
    for number in (2, 3):  # it dies in the second fold, then in its first
        for step in range(EPOCHS + 1 if number == 2 else 2):
            died.epoch_ended(number, step, 0.3)
        died.trial_ended(number, "interrupted")
    words = []
    for judge in (died, never):
        run(judge, 4, [0.3, 0.3])
        words.append([judge.epoch_ended(5, step, value) for step, value in enumerate([1.45, 0.95, 0.7, 0.6])])
    assert words[0] == words[1]


@pytest.mark.parametrize("pruner", [Median(), Percentile(percentile=50), SuccessiveHalving(reduction_factor=2)])
def test_where_more_is_better_the_low_curve_is_pruned_and_the_high_one_is_not(pruner: Pruner) -> None:
    judge = FoldJudge(pruner, steps=Steps(n_folds=1, epochs=EPOCHS), study_name="s", direction="maximize")
    for number in range(8):
        for step in range(EPOCHS):
            judge.epoch_ended(number, step, 0.7 + 0.01 * step)
    assert not any(judge.epoch_ended(8, step, 0.9) for step in range(EPOCHS))
    assert any(judge.epoch_ended(9, step, 0.1) for step in range(EPOCHS))


@pytest.mark.parametrize(
    "pruner",
    [
        Median(),
        Percentile(percentile=40),
        SuccessiveHalving(reduction_factor=2),
        Hyperband(reduction_factor=2),
        Patient(patience=1, wrapped=SuccessiveHalving(reduction_factor=2)),
        Patient(patience=1, wrapped=Median()),
    ],
    ids=lambda pruner: f"{pruner.name} {getattr(getattr(pruner, 'wrapped', None), 'name', '')}".strip(),
)
def test_a_recorded_epoch_weighs_as_much_as_one_that_was_judged(pruner: Pruner) -> None:
    rng = np.random.default_rng(0)
    judged, recorded = judge_of(pruner), judge_of(pruner)
    for number in range(20):
        for step, value in enumerate(rng.uniform(size=2 * EPOCHS).tolist()):
            judged.epoch_ended(number, step, value)
            recorded.record(number, step, value)
        judged.trial_ended(number)
        recorded.trial_ended(number)
    curves = rng.uniform(size=(20, 2 * EPOCHS)).tolist()
    words = [
        [
            judge.epoch_ended(100 + number, step, value)
            for number, curve in enumerate(curves)
            for step, value in enumerate(curve)
        ]
        for judge in (judged, recorded)
    ]
    assert words[0] == words[1]
    assert any(words[0])
