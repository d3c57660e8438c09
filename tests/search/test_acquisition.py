import numpy as np
import pytest
from scipy.stats import norm

from hms_search.search.acquisition import climbed, log_improvement


@pytest.mark.parametrize("z", [-30.0, -5.01, -4.99, -1.0, 0.0, 3.0])
def test_the_expected_improvement_is_its_integral(z: float) -> None:
    sd = 0.3
    samples = np.linspace(-40, 40, 200_001)
    gain = np.maximum(z + samples, 0) * norm.pdf(samples)
    expected = np.log(sd * gain.sum() * (samples[1] - samples[0])) if z > -20 else None
    found = float(log_improvement(0.0, np.array([-z * sd]), np.array([sd]))[0])
    assert np.isfinite(found)
    if expected is not None:
        assert found == pytest.approx(expected, abs=0.12 if z < -5 else 1e-4)


def hill(rows: np.ndarray) -> np.ndarray:
    """Highest at (0.3, beyond the upper bound), whatever the third is."""
    return -((rows[:, 0] - 0.3) ** 2) - (rows[:, 1] - 1.4) ** 2


def test_climbing_ends_at_the_top_or_on_the_bound_and_moves_nothing_else() -> None:
    top = climbed(np.array([0.9, 0.1, 0.5]), hill, np.array([True, True, False]))
    np.testing.assert_allclose(top, [0.3, 1.0, 0.5], atol=1e-4)
    top = climbed(np.array([0.9, 0.1, 0.5]), hill, np.array([True, False, False]))
    np.testing.assert_allclose(top, [0.3, 0.1, 0.5], atol=1e-4)


def test_without_anything_to_move_a_row_stays_where_it_is() -> None:
    row = np.array([0.9, 0.1, 0.5])
    np.testing.assert_array_equal(climbed(row, hill, np.zeros(3, dtype=bool)), row)


def test_climbing_finds_what_a_thousand_draws_do_not() -> None:
    rng = np.random.default_rng(0)
    peak = rng.random(6)

    def gain(rows: np.ndarray) -> np.ndarray:
        return log_improvement(0.0, 10 * np.square(rows - peak).sum(axis=1), np.full(len(rows), 0.1))

    drawn = rng.random((1000, 6))
    best = drawn[gain(drawn).argmax()]
    top = climbed(best, gain, np.ones(6, dtype=bool))
    assert gain(top[None])[0] > gain(best[None])[0] + 1
    np.testing.assert_allclose(top, peak, atol=0.01)
