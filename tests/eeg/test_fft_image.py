from pathlib import Path

import numpy as np
import pytest
import torch
from eeg_signals import awkward_signals, noise, tone
from pydantic import ValidationError

from hms_search.eeg.fft_image import FftImage


@pytest.mark.data
def test_the_windows_of_a_real_derivation_equal_the_reference_array(shared_data: Path) -> None:
    reference = np.load(shared_data / "iiic" / "check_values.npz")
    x = torch.from_numpy(reference["wavelet_input"])[None, None]
    found = FftImage().log_magnitude(x)[0, 0].T
    np.testing.assert_allclose(found, reference["fft_1s_1_24hz_left_lateral_0"], atol=1e-4)


@pytest.mark.parametrize("config", [FftImage(), FftImage(window_s=4, step_s=1, high_hz=48)])
def test_the_planes_are_numpys_mean_and_percentiles_over_windows(config: FftImage) -> None:
    x = noise(2, n_derivations=20, n_times=6000)
    taps, hop = round(config.window_s * 200), round(config.step_s * 200)
    windows = np.lib.stride_tricks.sliding_window_view(x.double().numpy(), taps, axis=2)[:, :, ::hop]
    bins = np.arange(1, round(config.high_hz * config.window_s) + 1)
    logs = np.log10(np.abs(np.fft.rfft(windows)[..., bins]))
    expected = np.stack([logs.mean(axis=2), *np.percentile(logs, [25, 75], axis=2)], axis=1)
    planes = config.forward(x, ())
    assert planes.shape == (2, 3, 20, len(bins))
    np.testing.assert_allclose(planes, expected, atol=1e-4)
    np.testing.assert_allclose(config.frequencies, bins / config.window_s)


def test_the_hackathons_image_is_3_by_20_by_24() -> None:
    assert FftImage().forward(noise(2, n_derivations=20), ()).shape == (2, 3, 20, 24)


@pytest.mark.parametrize("hz", [1, 7, 24])
def test_a_tone_lands_in_its_column(hz: int) -> None:
    planes = FftImage().forward(tone(hz), ())
    assert (planes.argmax(dim=3) == hz - 1).all()
    torch.testing.assert_close(planes[..., hz - 1], torch.full((1, 3, 16), np.log10(50 * 200 / 2)), atol=1e-4, rtol=0)


def test_a_magnitude_of_0_becomes_a_tenth_of_the_recordings_smallest() -> None:
    x = noise(1)
    x[:, 3] = 0
    logs = FftImage().log_magnitude(x)
    others = torch.cat([logs[:, :3], logs[:, 4:]], dim=1)
    torch.testing.assert_close(logs[:, 3], (others.min() - 1).expand_as(logs[:, 3]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", awkward_signals())
def test_the_image_of_any_signal_is_finite(name: str) -> None:
    planes = FftImage().forward(awkward_signals()[name], ())
    assert planes.dtype == torch.float32
    assert planes.isfinite().all()


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 200 samples, found 100"):
        FftImage().forward(noise(1, n_times=100), ())
    with pytest.raises(ValidationError, match=r"at least 1 / window_s = 1, found 0\.5"):
        FftImage(high_hz=0.5)
    with pytest.raises(ValidationError, match=r"multiple of 0\.01"):
        FftImage(window_s=0.123)
