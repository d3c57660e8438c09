"""What trials that were run again are worth, in words."""

import math

import pytest

from hms_search.search.repeated import Again, Gain, Over, Repeated
from hms_search.search.repeated_words import again_in_words, again_rows, honest_best, verdicts
from hms_search.training.tasks import HMS

BASELINE = Repeated(0, "small-trial0", 0.9, (0.91, 0.89))


def again(*trials: Repeated, other_folds: bool = True) -> Again:
    return Again((1, 2), other_folds, BASELINE, trials)


def tried(trial: int, mean: float, *, recorded: float = 0.1, half: float = 0.03) -> Repeated:
    gain = Gain(recorded, mean, mean - half, mean + half, "seeds and patients")
    return Repeated(trial, f"small-trial{trial}", 0.9 - recorded, (0.9 - mean, 0.9 - mean), gain)


def test_what_is_kept_comes_back() -> None:
    found = again(tried(3, 0.05), Repeated(4, "small-trial4", 0.85, (0.8, None), None, "diverged"))
    assert Again.of_dict(found.to_dict()) == found


def test_a_gain_survives_where_its_whole_interval_is_above_zero() -> None:
    assert tried(3, 0.05).verdict == "survives"
    assert tried(3, 0.02).verdict == "within noise"
    assert "trial 3: its gain of 0.0200 [-0.0100, 0.0500] over the baseline is within the noise" in verdicts(
        again(tried(3, 0.02)), best=3
    )


def test_the_best_when_run_again_need_not_be_the_best_of_the_search() -> None:
    found = again(tried(3, 0.02, recorded=0.2), tried(5, 0.06, recorded=0.1))
    best = honest_best(found.trials)
    assert best is not None
    assert best.trial == 5
    assert "best when run again: trial 5, of 2" in verdicts(found, best=3)
    assert [row[-2] for row in again_rows(found)] == ["+0.1800", "+0.0400", ""]


def test_a_trial_that_failed_when_run_again_has_no_gain_and_says_why() -> None:
    failed = Repeated(4, "small-trial4", 0.85, (0.8, None), None, "the loss is nan")
    assert (failed.mean, failed.spread, failed.verdict) == (None, None, "not known")
    assert verdicts(again(failed), best=4)[0] == (
        "trial 4: its gain is not known, 1 of 2 repetitions failed: the loss is nan"
    )
    assert honest_best([failed]) is None


def test_a_best_trial_that_was_found_since_is_named() -> None:
    assert "trial 9 is the best now and was not among them: run it again" in verdicts(again(tried(3, 0.05)), best=9)


@pytest.mark.parametrize(("other_folds", "words"), [(True, "folds of its own"), (False, "on the same folds")])
def test_the_words_say_what_the_interval_is_over(other_folds: bool, words: str) -> None:
    said = again_in_words(again(tried(3, 0.05), other_folds=other_folds), HMS)
    assert words in said
    assert "95 % over seeds and patients" in said


def endless(trial: int, over: Over) -> Repeated:
    return Repeated(trial, f"small-trial{trial}", 0.8, (0.85,), Gain(0.1, 0.05, -math.inf, math.inf, over))


def test_a_gain_whose_interval_is_endless_is_not_known_rather_than_within_the_noise() -> None:
    found = again(endless(3, "seeds"), endless(4, "patients"), other_folds=False)
    assert [one.verdict for one in found.trials] == ["not known"] * 2
    said = verdicts(found, best=3)
    assert said[0].startswith("trial 3: whether its gain of 0.0500 over the baseline is more than chance is not known")
    assert said[0].endswith("from one repetition: run it again more often")
    assert said[1].endswith("not known from one patient")
    assert [row[6] for row in again_rows(found)] == [""] * 3
    assert "inf" not in " ".join((*said, again_in_words(found, HMS)))
    assert "interval" not in again_in_words(found, HMS)


def test_what_was_repeated_covers_no_other_trials_no_more_times_and_no_other_folds() -> None:
    found = again(tried(3, 0.05), tried(5, 0.06))
    assert found.covers([5], baseline=0, times=2, other_folds=True)
    assert found.covers([3, 5], baseline=0, times=1, other_folds=True)
    assert not found.covers([3, 4], baseline=0, times=1, other_folds=True)
    assert not found.covers([3], baseline=0, times=3, other_folds=True)
    assert not found.covers([3], baseline=1, times=2, other_folds=True)
    assert not found.covers([3], baseline=0, times=2, other_folds=False)


def test_the_spread_is_that_between_seeds() -> None:
    assert BASELINE.spread == pytest.approx(0.02 / math.sqrt(2))
