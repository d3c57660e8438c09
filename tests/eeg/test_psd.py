from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from eeg_signals import DEOTTE, awkward_signals, noise, real_derivations, tone
from pydantic import ValidationError

from hms_search.eeg.layout import Stack
from hms_search.eeg.psd import Psd

LEFT_LATERAL, LEFT_PARASAGITTAL, RIGHT_LATERAL, RIGHT_PARASAGITTAL = DEOTTE.chains
RADBOUD = (LEFT_LATERAL, LEFT_PARASAGITTAL, RIGHT_PARASAGITTAL, RIGHT_LATERAL)


@pytest.mark.data
def test_radbouds_image_of_a_real_recording_equals_the_reference_array(shared_data: Path) -> None:
    expected = np.load(shared_data / "iiic" / "check_values.npz")["radboud_scipy_log"]
    image = Stack().forward(Psd().forward(real_derivations(shared_data, 900000001), RADBOUD))
    assert image.shape == (1, 1, 516, 448)
    np.testing.assert_allclose(image[0, 0], expected, atol=1e-3)


@pytest.mark.parametrize("window", ["tukey", "hann", "cosine", "boxcar"])
def test_the_density_of_every_derivation_equals_scipys(window: str) -> None:
    x = noise(2, n_derivations=3, n_times=2000) + 500
    psd = Psd.model_validate({"window": window, "planes": "derivation", "low_hz": 0.5, "high_hz": 20})
    shape = ("tukey", 0.25) if window == "tukey" else window
    hz, _, expected = scipy.signal.spectrogram(x.double().numpy(), window=shape, nperseg=150, noverlap=128, nfft=256)
    kept = (hz * 200 >= 0.5) & (hz * 200 <= 20)
    np.testing.assert_allclose(psd.frequencies, hz[kept] * 200)
    found = psd.density(x, ())
    np.testing.assert_allclose(found, expected[:, :, kept], rtol=1e-3, atol=1e-5 * expected.max())


def test_every_chain_is_the_mean_density_of_its_derivations() -> None:
    x = noise(2)
    each = Psd(planes="derivation").density(x, DEOTTE.chains)
    expected = torch.stack([each[:, list(chain)].mean(dim=1) for chain in RADBOUD], dim=1)
    torch.testing.assert_close(Psd().density(x, RADBOUD), expected)


@pytest.mark.parametrize("hz", [1.6, 10.0, 33.0, 71.0])
def test_a_tone_lands_in_its_bin(hz: float) -> None:
    plane = Psd().density(tone(hz), DEOTTE.chains)[0, 0]
    assert Psd().frequencies[plane.mean(dim=1).argmax()] == pytest.approx(hz, abs=200 / 256)


def test_a_mean_square_is_the_sum_of_the_density() -> None:
    x = noise(1)
    total = Psd(planes="derivation").density(x, ()).mean(dim=3).sum(dim=2) / 256
    torch.testing.assert_close(total, x.square().mean(dim=2), rtol=0.03, atol=0)


@pytest.mark.parametrize("name", awkward_signals())
def test_the_log_density_of_any_signal_is_within_its_bounds(name: str) -> None:
    planes = Psd().forward(awkward_signals()[name], DEOTTE.chains)
    assert planes.dtype == torch.float32
    assert planes.isfinite().all()
    assert planes.min() >= -6
    assert planes.max() <= 10


def test_what_cannot_be_transformed_is_refused() -> None:
    with pytest.raises(ValueError, match="a montage with chains, found none: take deotte, or planes: derivation"):
        Psd().forward(noise(1), ())
    with pytest.raises(ValueError, match="a segment of 150 samples, found 100"):
        Psd().forward(noise(1, n_times=100), DEOTTE.chains)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"win_length": 300}, "at most n_fft, found 300 and 256"),
        ({"low": 10}, "low must be below high, found 10 and 10"),
        ({"low_hz": 20.1, "high_hz": 20.2}, "no bin of the transform lies between 20.1 and 20.2 Hz"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Psd.model_validate(options)
