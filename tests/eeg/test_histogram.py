"""Histograms of log power against the direct computation."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hms_search.eeg.histogram import (
    ABOVE,
    BELOW,
    BINS_PER_UNIT,
    HIGHEST,
    LOWEST,
    MISSING,
    N_COUNTS,
    clipped_moments,
    count_log_power,
)

BOUNDS = st.tuples(st.floats(-23, 23), st.floats(-23, 23)).map(sorted)
ANY_HALF = hnp.arrays(np.float16, st.integers(1, 60), elements=st.floats(width=16))


@given(centre=st.floats(-9, 11), spread=st.floats(0.5, 4), bounds=BOUNDS, seed=st.integers(0, 2**20))
def test_moments_of_smooth_values_equal_the_direct_ones_for_any_bounds(centre, spread, bounds, seed):
    low, high = bounds
    values = np.random.default_rng(seed).normal(centre, spread, 30_000).astype(np.float16)
    moments = clipped_moments(count_log_power(values), low, high)
    direct = np.clip(values.astype(np.float64), low, high)
    assert moments.mean == pytest.approx(direct.mean(), abs=1e-3)
    assert moments.std == pytest.approx(direct.std(), abs=2e-3)
    assert moments.count == values.size


@example(values=np.array([-6e-8], dtype=np.float16), bounds=[-1.0, 0.0])  # finer steps at 0 than at the bin's left edge
@given(values=ANY_HALF, bounds=BOUNDS)
def test_the_mean_is_never_off_by_more_than_half_a_bin(values, bounds):
    low, high = bounds
    direct = np.clip(np.where(np.isnan(values), low, values.astype(np.float64)), low, high)
    moments = clipped_moments(count_log_power(values), low, high)
    assert abs(moments.mean - direct.mean()) <= 0.5 / BINS_PER_UNIT + 1e-4


@given(values=ANY_HALF)
def test_every_value_is_counted_once_in_its_place(values):
    counts = count_log_power(values)
    assert counts.shape == (N_COUNTS,)
    assert counts.dtype == np.uint32
    assert counts.sum() == values.size
    assert counts[MISSING] == np.isnan(values).sum()
    assert counts[BELOW] == (values < LOWEST).sum()
    assert counts[ABOVE] == (values >= HIGHEST).sum()


def test_values_fall_into_the_bin_that_begins_at_or_below_them():
    values = np.linspace(-23.9, 23.9, 4001).astype(np.float16)
    for value in values:
        (place,) = np.flatnonzero(count_log_power(value))
        edge = LOWEST + place / BINS_PER_UNIT
        assert edge <= value < edge + 1 / BINS_PER_UNIT


def test_counts_add_up_over_recordings():
    first, second = np.random.default_rng(0).normal(0, 3, (2, 50, 400)).astype(np.float16)
    together = count_log_power(np.concatenate([first, second]))
    assert np.array_equal(count_log_power(first) + count_log_power(second), together)


def test_order_and_memory_layout_do_not_matter():
    values = np.random.default_rng(1).normal(0, 3, (30, 40)).astype(np.float16)
    counts = count_log_power(values)
    assert np.array_equal(count_log_power(values.T), counts)
    assert np.array_equal(count_log_power(values[::-1, ::-1]), counts)
    assert np.array_equal(count_log_power(values.astype(np.float32)), counts)


def test_gaps_count_at_the_lower_bound_or_not_at_all():
    values = np.array([2.0, np.nan, np.nan, np.nan], dtype=np.float16)
    counts = count_log_power(values)
    assert clipped_moments(counts, -6, 10).mean == pytest.approx((2 - 18) / 4, abs=0.02)
    without = clipped_moments(counts, -6, 10, gaps_at_low=False)
    assert (without.mean, without.count) == (pytest.approx(2, abs=0.02), 1)


def test_power_zero_counts_at_the_lower_bound():
    counts = count_log_power(np.array([-np.inf, -np.inf], dtype=np.float16))
    moments = clipped_moments(counts, -6, 10)
    assert (moments.mean, moments.std) == (-6.0, 0.0)


def test_nothing_but_gaps_has_no_statistics_when_gaps_are_left_out():
    counts = count_log_power(np.full(5, np.nan, dtype=np.float16))
    with pytest.raises(ValueError, match="every value is NaN"):
        clipped_moments(counts, -6, 10, gaps_at_low=False)
