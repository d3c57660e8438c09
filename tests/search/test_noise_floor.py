"""Which gains survive another seed."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from hms_search.search.noise_floor import Gain, gains, seed_noise


def of_seeds(mean: float, seed: int, n: int = 5) -> list[float]:
    return (mean + 0.01 * np.random.default_rng(seed).normal(size=n)).tolist()


def test_a_real_gain_survives_and_a_lucky_one_does_not() -> None:
    baseline = of_seeds(0.80, 0)
    found = gains(baseline, {"real": of_seeds(0.70, 1), "lucky": of_seeds(0.80, 2)}, {"real": 0.12, "lucky": 0.03})
    assert [(gain.name, gain.survives) for gain in found] == [("real", True), ("lucky", False)]
    assert found[1].optimism == pytest.approx(0.03, abs=0.03)


def test_a_gain_agrees_with_a_paired_t_test() -> None:
    baseline, other = of_seeds(0.80, 3), of_seeds(0.79, 4)
    (gain,) = gains(baseline, {"other": other}, {"other": 0.02})
    reference = ttest_rel(baseline, other, alternative="greater")
    assert gain.p_value == pytest.approx(reference.pvalue)
    assert gain.mean == pytest.approx(np.mean(baseline) - np.mean(other))
    low, high = ttest_rel(baseline, other).confidence_interval(0.95)
    assert (gain.low, gain.high) == (pytest.approx(low), pytest.approx(high))


def test_what_all_seeds_share_cancels() -> None:
    shift = np.array([0.0, 0.3, -0.2, 0.1])
    baseline, other = 0.8 + shift, 0.78 + shift + np.array([0.001, -0.001, 0.0, 0.001])
    (gain,) = gains(baseline.tolist(), {"other": other.tolist()}, {"other": 0.02})
    assert gain.survives
    assert seed_noise(baseline.tolist()) > 0.1


def test_of_many_equal_configurations_hardly_any_survives() -> None:
    survived = 0
    for study in range(100):
        rng = np.random.default_rng(study)
        baseline, *others = rng.normal(0.8, 0.02, (6, 4)).tolist()
        named = {str(place): losses for place, losses in enumerate(others)}
        survived += any(gain.survives for gain in gains(baseline, named, dict.fromkeys(named, 0.0)))
    assert survived <= 10


def test_corrected_p_values_are_in_order_and_no_smaller_than_alone() -> None:
    baseline = of_seeds(0.80, 0)
    named = {str(seed): of_seeds(0.80 - 0.004 * seed, seed) for seed in range(1, 5)}
    together = gains(baseline, named, dict.fromkeys(named, 0.0))
    assert [gain.p_value for gain in together] == sorted(gain.p_value for gain in together)
    for gain in together:
        (alone,) = gains(baseline, {gain.name: named[gain.name]}, {gain.name: 0.0})
        assert gain.p_value >= alone.p_value


@pytest.mark.parametrize(
    ("baseline", "other", "words"), [([0.8, 0.8], [0.7, 0.7], "at least 3"), ([0.8] * 3, [0.7] * 4, "expected 3 seeds")]
)
def test_too_few_or_different_seeds_are_refused(baseline: list[float], other: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gains(baseline, {"other": other}, {"other": 0.0})


def test_equal_differences_are_no_division_by_zero() -> None:
    same: Gain = gains([0.8] * 3, {"other": [0.75] * 3}, {"other": 0.05})[0]
    assert same.survives
    assert not gains([0.8] * 3, {"other": [0.8] * 3}, {"other": 0.0})[0].survives
