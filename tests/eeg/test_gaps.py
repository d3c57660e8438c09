from typing import get_args

import numpy as np
import pytest
import torch

from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.filters import BandPass, apply_filter
from hms_search.eeg.gaps import GapFill, clip_uv, fill_gaps

WAYS: list[GapFill] = list(get_args(GapFill))


@pytest.fixture
def gappy() -> torch.Tensor:
    """Three recordings of five electrodes: one whole, one with scattered gaps and an empty electrode, one empty."""
    rng = np.random.default_rng(0)
    eeg = torch.from_numpy(rng.normal(20, 50, (3, 200, 5)).astype(np.float32))
    eeg[1, torch.from_numpy(rng.random((200, 5)) < 0.3)] = torch.nan
    eeg[1, :40, 0] = torch.nan
    eeg[1, 150:, 1] = torch.nan
    eeg[1, :, 2] = torch.nan
    eeg[2] = torch.nan
    return eeg


@pytest.mark.parametrize("how", WAYS)
def test_filling_changes_gaps_only_and_leaves_none(how: GapFill, gappy: torch.Tensor) -> None:
    before = gappy.clone()
    filled = fill_gaps(gappy, how)
    assert filled.isfinite().all()
    known = ~before.isnan()
    torch.testing.assert_close(filled[known], before[known], rtol=0, atol=0)
    assert not filled[1, :, 2].any()
    assert not filled[2].any()
    torch.testing.assert_close(gappy, before, rtol=0, atol=0, equal_nan=True)


def test_mean_is_the_electrodes_own(gappy: torch.Tensor) -> None:
    filled = fill_gaps(gappy, "mean")[1, :, 0]
    expected = np.nanmean(gappy[1, :, 0].numpy())
    torch.testing.assert_close(filled[:40], torch.full((40,), float(expected)))


def test_zero_is_zero(gappy: torch.Tensor) -> None:
    torch.testing.assert_close(fill_gaps(gappy, "zero"), gappy.nan_to_num(), rtol=0, atol=0)


def test_interpolation_equals_numpys_with_the_nearest_value_at_the_edges(gappy: torch.Tensor) -> None:
    filled = fill_gaps(gappy, "interpolate")
    for electrode in (0, 1, 3, 4):
        signal = gappy[1, :, electrode].numpy()
        known = ~np.isnan(signal)
        expected = np.interp(np.arange(200), np.flatnonzero(known), signal[known])
        np.testing.assert_allclose(filled[1, :, electrode], expected, atol=1e-4)


@pytest.mark.parametrize("how", WAYS)
def test_half_precision_becomes_float32_also_where_nothing_is_missing(how: GapFill, gappy: torch.Tensor) -> None:
    half = gappy.half()
    assert fill_gaps(half, how).dtype == fill_gaps(half[:1], how).dtype == torch.float32
    torch.testing.assert_close(fill_gaps(half, how), fill_gaps(half.float(), how), rtol=0, atol=0)


@pytest.mark.parametrize("how", WAYS)
def test_a_recording_of_its_middle_10_s_only_is_finite_after_filling_clipping_and_filtering(how: GapFill) -> None:
    eeg = torch.full((1, 10_000, 20), torch.nan)
    eeg[:, 4_000:6_000] = 65_504.0
    eeg[:, 4_000:5_000, 3] = -3.0
    clipped = clip_uv(fill_gaps(eeg, how), 1024.0)
    assert clipped.abs().max() == 1024
    for phase in ("causal", "zero"):
        filtered = apply_filter(clipped.mT, sections_of(BandPass()), phase)
        assert filtered.isfinite().all()
        assert filtered.abs().max() < 5_000


def test_clipping_bounds_both_sides_and_keeps_the_rest() -> None:
    eeg = torch.tensor([-65_504.0, -1024.0, -3.5, 0.0, 1023.0, 2_000.0])
    assert clip_uv(eeg, 1024.0).tolist() == [-1024.0, -1024.0, -3.5, 0.0, 1023.0, 1024.0]
