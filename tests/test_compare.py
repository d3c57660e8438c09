"""The paired comparison: what it calls a difference, what it does not, and that it treats both models alike."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_search.compare import Difference, paired_differences
from hms_search.errors import DataError

Losses = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pair(seed: int, *, n_patients: int = 60, gain: float = 0.0) -> Losses:
    """Losses of a candidate and a reference of equal worth but for ``gain``, their patients and strata.

    Patients have from 1 to 40 rows, and rows of a patient share an effect; tails are heavy.
    """
    rng = np.random.default_rng(seed)
    rows = np.minimum(np.ceil(rng.lognormal(1, 1, n_patients)).astype(int), 40)
    patients = np.repeat(rng.permutation(1000)[:n_patients], rows)
    shared = rng.lognormal(-0.9, 0.6, len(patients))
    two = [
        shared + np.repeat(0.1 * rng.standard_t(3, n_patients), rows) + 0.2 * rng.standard_t(3, len(patients))
        for _ in range(2)
    ]
    return two[0] - gain, two[1], patients, rng.random(len(patients)) < 0.4


def compared(losses: Losses, *, seed: int = 0, draws: int = 500) -> Difference:
    return paired_differences(*losses, seed=seed, draws=draws)["all"]


@pytest.mark.parametrize("n_patients", [2, 15, 100])
def test_a_pair_without_difference_is_called_not_distinguishable_in_nine_of_ten_repeats(n_patients: int) -> None:
    verdicts = [compared(pair(repeat, n_patients=n_patients)).verdict for repeat in range(200)]
    assert verdicts.count("not distinguishable") >= 180
    assert {"better", "worse"} >= set(verdicts) - {"not distinguishable"}


@pytest.mark.parametrize(("sign", "verdict"), [(1, "better"), (-1, "worse")])
def test_a_known_difference_is_found(sign: int, verdict: str) -> None:
    found = [compared(pair(repeat, n_patients=100, gain=0.15 * sign)).verdict for repeat in range(100)]
    assert found.count(verdict) >= 90
    assert set(found) <= {verdict, "not distinguishable"}


def test_the_interval_covers_the_true_difference_and_narrows_with_more_patients() -> None:
    widths = []
    for n_patients in (20, 80, 320):
        found = [compared(pair(repeat, n_patients=n_patients, gain=0.05)) for repeat in range(60)]
        assert sum(one.low <= -0.05 <= one.high for one in found) >= 52
        widths.append(np.median([one.high - one.low for one in found]))
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_patients=st.integers(2, 30))
def test_swapping_the_roles_mirrors_the_result(seed: int, n_patients: int) -> None:
    candidate, reference, patients, high = pair(seed, n_patients=n_patients)
    there = paired_differences(candidate, reference, patients, high)
    back = paired_differences(reference, candidate, patients, high)
    assert there.keys() == back.keys()
    mirrored = {"better": "worse", "worse": "better"}
    for one, other in zip(there.values(), back.values(), strict=True):
        assert one.mean == pytest.approx(-other.mean)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert one.probability_better == pytest.approx(1 - other.probability_better)
        assert one.verdict == mirrored.get(other.verdict, other.verdict)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-10, 10))
def test_only_the_difference_counts_not_how_hard_the_rows_are(seed: int, shift: float) -> None:
    candidate, reference, patients, high = pair(seed, n_patients=12)
    hardness = shift * np.random.default_rng(seed).random(len(patients))
    plain = compared((candidate, reference, patients, high))
    harder = compared((candidate + hardness, reference + hardness, patients, high))
    assert (plain.mean, plain.low, plain.high) == pytest.approx((harder.mean, harder.low, harder.high), abs=1e-9)


def test_each_stratum_is_compared_on_its_own_rows() -> None:
    candidate, reference, patients, high = pair(1)
    candidate = candidate - np.where(high, 1.0, 0.0)
    found = paired_differences(candidate, reference, patients, high)
    assert list(found) == ["all", "high", "low"]
    assert [found["high"].verdict, found["low"].verdict] == ["better", "not distinguishable"]
    for name, rows in (("all", np.ones_like(high)), ("high", high), ("low", ~high)):
        one = found[name]  # type: ignore[index]
        assert (one.stratum, one.rows, one.patients) == (name, rows.sum(), len(np.unique(patients[rows])))
        assert one.mean == pytest.approx((candidate - reference)[rows].mean())
        alone = compared((candidate[rows], reference[rows], patients[rows], high[rows]), draws=2000)
        assert (alone.low, alone.high) == (one.low, one.high)
    assert list(paired_differences(candidate, reference, patients, np.ones_like(high))) == ["all", "high"]


def test_the_same_seed_gives_the_same_interval_in_any_order_of_rows() -> None:
    losses = pair(3)
    order = np.random.default_rng(0).permutation(len(losses[0]))
    shuffled = tuple(column[order] for column in losses)
    again = compared(shuffled)  # type: ignore[arg-type]
    assert (again.low, again.high) == pytest.approx((compared(losses).low, compared(losses).high))
    assert compared(losses) == compared(losses)
    assert compared(losses, seed=1) != compared(losses)


def test_identical_losses_are_not_distinguishable() -> None:
    candidate, _, patients, high = pair(0)
    found = compared((candidate, candidate.copy(), patients, high))
    assert (found.mean, found.low, found.high, found.probability_better) == (0, 0, 0, 0.5)
    assert found.verdict == "not distinguishable"


def test_nothing_can_be_said_from_a_single_patient_or_from_one_that_has_nearly_all_rows() -> None:
    candidate, reference, patients, high = pair(0, gain=1.0)
    for owners in (np.zeros_like(patients), np.append(np.zeros_like(patients)[1:], 1)):
        assert compared((candidate, reference, owners, high)).verdict == "not distinguishable"


def spoil_with(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda losses: np.append(losses[1:], value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused(value: float) -> None:
    candidate, reference, patients, high = pair(0)
    with pytest.raises(DataError, match="found 1 rows of"):
        paired_differences(spoil_with(value)(candidate), reference, patients, high)
