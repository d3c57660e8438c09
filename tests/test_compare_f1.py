"""The paired comparison of seizure types: the difference in weighted F1, and how often chance passes for one."""

import numpy as np
import pytest
from members import seizure_members
from sklearn.metrics import f1_score

from hms_search.compare import Difference, oof_differences


def compared(*skills: float, n_patients: int = 60, seed: int = 0) -> Difference:
    candidate, reference = seizure_members(skills, n_patients=n_patients, seed=seed)
    found = oof_differences(candidate, reference)
    assert set(found) == {"all"}
    return found["all"]


def test_the_difference_is_that_of_the_two_scores_and_above_zero_where_the_candidate_is_better() -> None:
    members = seizure_members((0.8, 0.4))
    truth = members[0].targets.argmax(axis=1)
    better, worse = (f1_score(truth, one.probabilities.argmax(axis=1), average="weighted") for one in members)
    found = oof_differences(*members)["all"]
    assert found.mean == pytest.approx(better - worse)
    assert found.mean > 0
    assert (found.verdict, found.rows, found.patients) == ("better", len(truth), 60)
    back = oof_differences(*members[::-1])["all"]
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))
    assert back.verdict == "worse"
    assert back.probability_better == pytest.approx(1 - found.probability_better)


@pytest.mark.parametrize("n_patients", [2, 15, 100])
def test_members_of_equal_worth_are_called_not_distinguishable_in_nine_of_ten_repeats(n_patients: int) -> None:
    verdicts = [compared(0.6, 0.6, n_patients=n_patients, seed=repeat).verdict for repeat in range(100)]
    assert verdicts.count("not distinguishable") >= 90


def test_a_known_difference_is_found_and_its_interval_narrows_with_more_patients() -> None:
    found = [compared(0.75, 0.5, n_patients=100, seed=repeat) for repeat in range(30)]
    assert [one.verdict for one in found].count("better") >= 27
    few, many = (
        np.median([one.high - one.low for one in (compared(0.7, 0.6, n_patients=n, seed=s) for s in range(20))])
        for n in (20, 160)
    )
    assert few > 1.8 * many


def test_a_member_against_itself_differs_nowhere_and_one_patient_bounds_nothing() -> None:
    (member,) = seizure_members((0.6,))
    same = oof_differences(member, member)["all"]
    assert (same.mean, same.low, same.high, same.probability_better) == (0, 0, 0, 0.5)
    lonely = compared(0.9, 0.1, n_patients=1)
    assert (lonely.low, lonely.high, lonely.verdict) == (-np.inf, np.inf, "not distinguishable")
