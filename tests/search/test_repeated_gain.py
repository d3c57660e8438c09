"""The gain of a trial that was run again, and its interval over seeds and patients."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from hms_search.compare import losses_of
from hms_search.data.oof import OutOfFold
from hms_search.search.repeated import Gain
from hms_search.search.repeated_gain import gain_over_patients, gain_over_seeds

PER_PATIENT = 3


def predictions(losses: np.ndarray, folds: np.ndarray, patients: np.ndarray) -> OutOfFold:
    """Out-of-fold predictions with these losses: of a target in one class, the loss is -log of its probability."""
    right = np.exp(-losses)
    probabilities = np.column_stack([right, *[(1 - right) / 5] * 5])
    samples = pd.DataFrame({"sample_id": np.arange(len(losses)), "patient_id": patients, "fold": folds})
    samples["stratum"] = "low"
    return OutOfFold("made", samples, np.eye(6)[np.zeros(len(losses), dtype=int)], probabilities)


def made(
    rng: np.random.Generator,
    *,
    gain: float = 0.0,
    repeats: int = 4,
    patients: int = 30,
    of_seed: float = 0.02,
    of_patient: float = 0.1,
) -> tuple[list[OutOfFold], list[OutOfFold]]:
    """Baseline and trial in repetitions: the gain varies with patient, seed and recording."""
    patient = np.repeat(np.arange(patients), PER_PATIENT)
    by_patient = of_patient * rng.normal(size=patients)[patient]
    pairs = []
    for _ in range(repeats):
        fold = rng.permutation(patients)[patient] % 2
        shared = 1 + 0.3 * rng.random(len(patient))
        moved = gain + by_patient + of_seed * rng.normal() + 0.1 * rng.normal(size=len(patient))
        pairs.append((predictions(shared + 0.5, fold, patient), predictions(shared + 0.5 - moved, fold, patient)))
    return [one for one, _ in pairs], [other for _, other in pairs]


def test_the_gain_is_the_difference_of_values_that_are_means_over_folds() -> None:
    baseline, trial = made(np.random.default_rng(0), gain=0.1)
    expected = [
        np.mean([(losses_of(one) - losses_of(other))[one.folds == fold].mean() for fold in (0, 1)])
        for one, other in zip(baseline, trial, strict=True)
    ]
    found = gain_over_patients(baseline, trial, objective="all", recorded=0.3)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.optimism == pytest.approx(0.3 - np.mean(expected))
    assert found.over == "seeds and patients"


@pytest.mark.parametrize(("of_seed", "of_patient"), [(0.05, 0.0), (0.0, 0.2), (0.05, 0.2)])
def test_an_interval_holds_the_truth_in_nineteen_of_twenty_cases(of_seed: float, of_patient: float) -> None:
    rng = np.random.default_rng(1)
    missed, runs = 0, 400
    for _ in range(runs):
        found = gain_over_patients(*made(rng, of_seed=of_seed, of_patient=of_patient), objective="all", recorded=0.0)
        missed += not found.low <= 0 <= found.high
    assert missed / runs < 0.085  # 5 % and three standard errors


def test_seeds_alone_would_miss_the_chance_of_patients() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for _ in range(20):
        baseline, trial = made(rng, of_patient=0.3)
        found = gain_over_patients(baseline, trial, objective="all", recorded=0.0)
        gains = [losses_of(one).mean() - losses_of(other).mean() for one, other in zip(baseline, trial, strict=True)]
        alone = gain_over_seeds(gains, recorded=0.0)
        widths.append((found.high - found.low) / (alone.high - alone.low))
    assert np.median(widths) > 1.2


def test_one_repetition_has_an_interval_over_patients_and_one_patient_none() -> None:
    baseline, trial = made(np.random.default_rng(3), gain=0.2, repeats=1)
    found = gain_over_patients(baseline, trial, objective="all", recorded=0.2)
    assert found.over == "patients"
    assert 0 < found.low < found.mean < found.high
    lonely = gain_over_patients(*made(np.random.default_rng(3), patients=1), objective="all", recorded=0.0)
    assert (lonely.low, lonely.high) == (-np.inf, np.inf)


def test_the_interval_over_seeds_is_that_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    baseline, trial = rng.normal(0.8, 0.01, 5), rng.normal(0.79, 0.01, 5)
    found: Gain = gain_over_seeds((baseline - trial).tolist(), recorded=0.02)
    low, high = ttest_rel(baseline, trial).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.over == "seeds"
