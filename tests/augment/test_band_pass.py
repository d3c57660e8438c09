import numpy as np
import pytest
import torch
from augment.conftest import MakeRecordings
from scipy import signal

from hms_search.augment.band_pass import NarrowBandPass, band_passed


@pytest.mark.parametrize(("low_hz", "high_hz"), [(0.5, 12.0), (2.0, 19.0)])
def test_a_tone_passes_with_the_gain_of_scipys_butterworth_filter(low_hz: float, high_hz: float) -> None:
    hz = np.array([0.5, 1.0, 4.0, 10.0, 15.0, 20.0, 40.0])
    tones = torch.from_numpy(np.cos(2 * np.pi * hz[:, None] * np.arange(10_000) / 200).astype(np.float32))
    passed = band_passed(tones, torch.full((7,), low_hz), torch.full((7,), high_hz))
    b, a = signal.butter(2, [low_hz, high_hz], "bandpass", fs=200)
    gain = np.abs(signal.freqz(b, a, hz, fs=200)[1])
    found = (passed[:, 2000:8000] * tones[:, 2000:8000]).mean(dim=1) * 2  # in phase with the tone
    np.testing.assert_allclose(found, gain, atol=2e-3)


def test_an_offset_is_removed_without_a_mark_at_the_edges() -> None:
    passed = band_passed(torch.full((1, 1000), 300.0), torch.tensor([0.5]), torch.tensor([15.0]))
    assert passed.abs().max() < 1e-2


def test_1_to_8_scalp_electrodes_are_filtered_and_missing_samples_stay_where_they_were(
    recordings: MakeRecordings,
) -> None:
    batch = recordings(100, n_times=400, n_rows=1)
    assert batch.eeg is not None
    batch.eeg[:, 100:150, ::2] = torch.nan
    batch.eeg[:, :, 5] = torch.nan
    after = NarrowBandPass(p=1).forward(batch, torch.Generator().manual_seed(0)).eeg
    assert after is not None
    torch.testing.assert_close(after.isnan(), batch.eeg.isnan())
    changed = (after != batch.eeg).logical_and(~batch.eeg.isnan()).any(dim=1)
    assert not changed[:, [5, 19]].any()
    assert changed[:, [i for i in range(19) if i != 5]].any(dim=0).all()
    assert changed.sum(dim=1).max() <= 8
