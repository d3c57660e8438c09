from pathlib import Path

import numpy as np
import pytest
import pywt
import torch

from hms_search.eeg.denoise import _decomposed, _recomposed, denoised
from hms_search.eeg.gaps import clip_uv, fill_gaps


def by_pywavelets(x: np.ndarray) -> np.ndarray:
    """The rule as the notebooks wrote it, in double precision; an odd signal comes back one sample longer."""
    coefficients = pywt.wavedec(x.astype(np.float64), "db8", mode="periodization")
    finest = coefficients[-1]
    sigma = np.mean(np.abs(finest - np.mean(finest))) / 0.6745
    threshold = sigma * np.sqrt(2 * np.log(len(x)))
    kept = [coefficients[0], *(pywt.threshold(band, threshold, "hard") for band in coefficients[1:])]
    return np.asarray(pywt.waverec(kept, "db8", mode="periodization"))[: len(x)]


def noisy_wave(n_times: int, seed: int) -> np.ndarray:
    time = np.arange(n_times) / 200
    noise = np.random.default_rng(seed).normal(0, 10, n_times)
    return (60 * np.sin(2 * np.pi * 3 * time) + 40 * np.sin(2 * np.pi * 11 * time) + noise).astype(np.float32)


@pytest.mark.parametrize("n_times", [10_000, 9_999, 2_000, 2_001, 1_234, 313, 61, 31, 30])
def test_denoising_equals_pywavelets_on_even_and_odd_lengths(n_times: int) -> None:
    x = np.stack([noisy_wave(n_times, seed) for seed in range(3)])
    expected = np.stack([by_pywavelets(signal) for signal in x])
    result = denoised(torch.from_numpy(x))
    assert result.shape == x.shape
    np.testing.assert_allclose(result, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("n_times", [10_000, 640, 313, 64, 41, 30])
def test_one_level_equals_pywavelets_and_is_undone_by_its_inverse(n_times: int) -> None:
    x = noisy_wave(n_times, seed=0)[None]
    bands = _decomposed(torch.from_numpy(x))
    for band, expected in zip(bands, pywt.dwt(x, "db8", mode="periodization"), strict=True):
        np.testing.assert_allclose(band, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(_recomposed(*bands)[:, :n_times], x, atol=1e-4, rtol=0)


def test_white_noise_is_taken_out_and_a_slow_wave_stays() -> None:
    time = torch.arange(10_000) / 200
    wave = 100 * torch.sin(2 * torch.pi * 2 * time)
    noise = 10 * torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    assert (denoised(wave + noise) - wave).square().mean() < noise.square().mean() / 2
    assert denoised(noise).square().mean() < noise.square().mean() / 10


def test_a_signal_is_denoised_alike_alone_and_in_a_batch_and_at_any_scale() -> None:
    x = torch.from_numpy(np.stack([noisy_wave(2_000, seed) for seed in range(6)])).reshape(2, 3, 2_000)
    batch = denoised(x)
    torch.testing.assert_close(denoised(x[1, 2]), batch[1, 2], atol=1e-4, rtol=0)
    torch.testing.assert_close(denoised(-4 * x), -4 * batch, atol=1e-3, rtol=0)


def test_flat_missing_saturated_and_short_recordings_stay_finite() -> None:
    eeg = torch.zeros(4, 10_000, 20)
    eeg[1] = torch.nan
    eeg[2] = 65_504.0
    eeg[3] = torch.nan
    eeg[3, 4_000:6_000] = torch.randn(2_000, 20, generator=torch.Generator().manual_seed(0)) * 100
    result = denoised(clip_uv(fill_gaps(eeg, "mean"), 1024.0).mT)
    assert result.isfinite().all()
    torch.testing.assert_close(result[:2], torch.zeros(2, 20, 10_000))
    torch.testing.assert_close(result[2], torch.full((20, 10_000), 1024.0), atol=0.1, rtol=0)


def test_a_signal_without_a_level_to_decompose_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 30 samples, found 29"):
        denoised(torch.zeros(2, 29))


@pytest.mark.data
def test_a_real_derivation_is_denoised_to_the_reference(shared_data: Path) -> None:
    with np.load(shared_data / "iiic" / "check_values.npz") as arrays:
        x, expected = arrays["wavelet_input"], arrays["wavelet_denoised_db8"]
    np.testing.assert_allclose(denoised(torch.from_numpy(x)), expected, atol=1e-3, rtol=0)


def test_denoising_first_used_without_gradients_carries_them_later() -> None:
    with torch.inference_mode():
        denoised(torch.zeros(1, 500))
    x = torch.from_numpy(noisy_wave(500, seed=1)).requires_grad_()
    denoised(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
